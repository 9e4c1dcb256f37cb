//! A file of which only some stretches are at hand.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::OnceLock,
};

use bytes::Bytes;
use symphonia::core::io::MediaSource;

/// The stretches of a file that are at hand, and the place that was looked for in vain.
#[derive(Debug)]
pub(super) struct Window {
    /// Of the whole file, in bytes.
    size: u64,
    /// With their offsets.
    stretches: Vec<(u64, Bytes)>,
    missed: OnceLock<u64>,
}

impl Window {
    /// The first bytes of a file of a size.
    pub(super) fn new(head: Bytes, size: u64) -> Self {
        Self {
            size,
            stretches: vec![(0, head)],
            missed: OnceLock::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds what stands at an offset.
    pub(super) fn add(&mut self, at: u64, bytes: Bytes) {
        self.stretches.push((at, bytes));
        self.missed = OnceLock::new();
    }

    /// The first place within the file that was looked for and is not at hand.
    pub(super) fn missed(&self) -> Option<u64> {
        self.missed.get().copied()
    }

    /// The bytes at hand from an offset on; none at the end of the file, and none where they are
    /// missing.
    pub(super) fn from(&self, at: u64) -> &[u8] {
        let known = self
            .stretches
            .iter()
            .filter_map(|(start, bytes)| {
                let skipped = usize::try_from(at.checked_sub(*start)?).ok()?;
                bytes.get(skipped..)
            })
            .max_by_key(|bytes| bytes.len())
            .unwrap_or_default();
        if known.is_empty() && at < self.size {
            let _ = self.missed.set(at);
        }
        known
    }

    /// The `N` bytes at an offset, in one stretch or in several.
    pub(super) fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut array = [0; N];
        let mut filled = 0;
        while filled < N {
            let known = self.from(at.checked_add(filled as u64)?);
            let taken = known.len().min(N - filled);
            if taken == 0 {
                return None;
            }
            array[filled..filled + taken].copy_from_slice(&known[..taken]);
            filled += taken;
        }
        Some(array)
    }

    pub(super) fn be16(&self, at: u64) -> Option<u16> {
        self.array(at).map(u16::from_be_bytes)
    }

    pub(super) fn be32(&self, at: u64) -> Option<u32> {
        self.array(at).map(u32::from_be_bytes)
    }

    pub(super) fn be64(&self, at: u64) -> Option<u64> {
        self.array(at).map(u64::from_be_bytes)
    }

    /// The file from an offset on, forwards only.
    pub(super) fn stream(&self, start: u64) -> Reader<'_> {
        Reader {
            window: self,
            start,
            at: start,
            seekable: false,
        }
    }

    /// The file from an offset on, in any order.
    pub(super) fn source(&self, start: u64) -> Reader<'_> {
        Reader {
            seekable: true,
            ..self.stream(start)
        }
    }
}

/// Reads a window as if it were a file. Fails where bytes are missing.
pub(super) struct Reader<'w> {
    window: &'w Window,
    start: u64,
    at: u64,
    seekable: bool,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let known = self.window.from(self.at);
        if known.is_empty() && self.at < self.window.size {
            return Err(io::Error::other("these bytes are not at hand"));
        }
        let taken = known.len().min(buffer.len());
        buffer[..taken].copy_from_slice(&known[..taken]);
        self.at += taken as u64;
        Ok(taken)
    }
}

impl Seek for Reader<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => self.start.checked_add(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.window.size.checked_add_signed(by),
        };
        self.at = at
            .filter(|at| *at >= self.start)
            .ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.at - self.start)
    }
}

impl MediaSource for Reader<'_> {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.window.size.checked_sub(self.start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn window() -> Window {
        let mut window = Window::new(Bytes::from_static(b"0123"), 12);
        window.add(4, Bytes::from_static(b"45"));
        window.add(10, Bytes::from_static(b"ab"));
        window
    }

    #[test]
    fn what_is_at_hand_is_read_across_its_seams() {
        let window = window();
        assert_eq!(window.array(2), Some(*b"2345"));
        assert_eq!(window.from(11), b"b");
        assert_eq!(window.from(12), b"");
        assert_eq!(window.array::<2>(11), None);
        assert_eq!(window.missed(), None);
        let mut rest = String::new();
        let mut reader = window.source(10);
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), reader.byte_len()), ("ab", Some(2)));
    }

    #[test]
    fn the_first_place_that_is_not_at_hand_is_remembered() {
        let mut window = window();
        let mut reader = window.source(4);
        assert!(reader.seek(SeekFrom::Start(2)).is_ok());
        assert!(reader.seek(SeekFrom::Current(-3)).is_err());
        assert!(reader.read(&mut [0; 4]).is_err());
        assert_eq!(window.array::<2>(8), None);
        assert_eq!(window.missed(), Some(6));
        window.add(6, Bytes::from_static(b"67"));
        assert_eq!(window.missed(), None);
    }
}

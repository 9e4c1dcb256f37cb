//! A partially loaded file.

use std::{
    io::{self, Read, Seek, SeekFrom},
    sync::OnceLock,
};

use bytes::Bytes;
use symphonia::core::io::MediaSource;

/// The loaded segments of a file, and the first offset that was requested but is not loaded.
#[derive(Debug)]
pub(super) struct Window {
    /// The size of the whole file, in bytes.
    size: u64,
    /// The loaded segments with their offsets.
    segments: Vec<(u64, Bytes)>,
    first_missing: OnceLock<u64>,
}

impl Window {
    /// A file of `size` bytes with its first bytes loaded.
    pub(super) fn new(head: Bytes, size: u64) -> Self {
        Self {
            size,
            segments: vec![(0, head)],
            first_missing: OnceLock::new(),
        }
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Adds a segment at an offset.
    pub(super) fn add(&mut self, at: u64, bytes: Bytes) {
        self.segments.push((at, bytes));
        self.first_missing = OnceLock::new();
    }

    /// The first offset within the file that was requested but is not loaded.
    pub(super) fn first_missing(&self) -> Option<u64> {
        self.first_missing.get().copied()
    }

    /// The loaded bytes from an offset on. Empty at the end of the file and where no bytes are loaded.
    pub(super) fn bytes_from(&self, at: u64) -> &[u8] {
        let known = self
            .segments
            .iter()
            .filter_map(|(start, bytes)| {
                let skipped = usize::try_from(at.checked_sub(*start)?).ok()?;
                bytes.get(skipped..)
            })
            .max_by_key(|bytes| bytes.len())
            .unwrap_or_default();
        if known.is_empty() && at < self.size {
            let _ = self.first_missing.set(at);
        }
        known
    }

    /// The `N` bytes at an offset, from one or more segments.
    pub(super) fn array<const N: usize>(&self, at: u64) -> Option<[u8; N]> {
        let mut array = [0; N];
        let mut filled = 0;
        while filled < N {
            let known = self.bytes_from(at.checked_add(filled as u64)?);
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

    /// A forward-only reader that starts at an offset.
    pub(super) fn stream(&self, start: u64) -> Reader<'_> {
        Reader {
            window: self,
            start,
            at: start,
            seekable: false,
        }
    }

    /// A seekable reader that starts at an offset.
    pub(super) fn source(&self, start: u64) -> Reader<'_> {
        Reader {
            seekable: true,
            ..self.stream(start)
        }
    }
}

/// Reads a window like a file. Fails where bytes are not loaded.
pub(super) struct Reader<'w> {
    window: &'w Window,
    start: u64,
    at: u64,
    seekable: bool,
}

impl Read for Reader<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let known = self.window.bytes_from(self.at);
        if known.is_empty() && self.at < self.window.size {
            return Err(io::Error::other("these bytes are not loaded"));
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
    fn loaded_bytes_are_read_across_segments() {
        let window = window();
        assert_eq!(window.array(2), Some(*b"2345"));
        assert_eq!(window.bytes_from(11), b"b");
        assert_eq!(window.bytes_from(12), b"");
        assert_eq!(window.array::<2>(11), None);
        assert_eq!(window.first_missing(), None);
        let mut rest = String::new();
        let mut reader = window.source(10);
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!((rest.as_str(), reader.byte_len()), ("ab", Some(2)));
    }

    #[test]
    fn the_first_missing_offset_is_recorded() {
        let mut window = window();
        let mut reader = window.source(4);
        assert!(reader.seek(SeekFrom::Start(2)).is_ok());
        assert!(reader.seek(SeekFrom::Current(-3)).is_err());
        assert!(reader.read(&mut [0; 4]).is_err());
        assert_eq!(window.array::<2>(8), None);
        assert_eq!(window.first_missing(), Some(6));
        window.add(6, Bytes::from_static(b"67"));
        assert_eq!(window.first_missing(), None);
    }
}

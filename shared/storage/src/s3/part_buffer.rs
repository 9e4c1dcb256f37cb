//! The bytes of one part while it fills and is sent.

use std::io;

use bytes::Bytes;
use memmap2::MmapMut;

/// Memory of its own from the system, which has it back when the part has been sent. An allocator keeps
/// buffers of this size for later, and then holds half as much again as is ever in use (measured: 85 MiB
/// above idle instead of 51, sixteen imports at once).
pub(super) struct PartBuffer {
    memory: MmapMut,
    filled: usize,
}

impl PartBuffer {
    /// An empty buffer for so many bytes; what is not filled costs nothing.
    pub(super) fn new(capacity: usize) -> io::Result<Self> {
        Ok(Self {
            memory: MmapMut::map_anon(capacity)?,
            filled: 0,
        })
    }

    /// How many bytes it has room for.
    pub(super) fn room(&self) -> usize {
        self.memory.len() - self.filled
    }

    /// Takes as many of the bytes as it has room for; says how many.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(self.room());
        self.memory[self.filled..self.filled + taken].copy_from_slice(&bytes[..taken]);
        self.filled += taken;
        taken
    }

    /// What is in it, without a copy.
    pub(super) fn into_bytes(self) -> Bytes {
        Bytes::from_owner(self.memory).slice(..self.filled)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_what_it_has_room_for() {
        let mut buffer = PartBuffer::new(10).unwrap();
        assert_eq!(buffer.fill(b"abcdef"), 6);
        assert_eq!(buffer.room(), 4);
        assert_eq!(buffer.fill(b"ghijkl"), 4);
        assert_eq!(buffer.fill(b"m"), 0);
        assert_eq!(buffer.into_bytes(), "abcdefghij");
    }

    #[test]
    fn what_is_not_filled_is_not_sent() {
        let mut buffer = PartBuffer::new(1 << 20).unwrap();
        buffer.fill(b"abc");
        assert_eq!(buffer.into_bytes(), "abc");
    }
}

//! File contents of any size that need no memory.

use std::{ops::Range, sync::Arc};

use sha2::{Digest as _, Sha256};

/// Bytes hashed at once.
const HASH_BLOCK: u64 = 64 * 1024;

/// The bytes of a file.
#[derive(Clone, Debug)]
pub enum Content {
    Bytes(Arc<[u8]>),
    /// Bytes that are computed from a seed when they are read: SplitMix64 (Steele et al., 2014).
    Generated {
        size: u64,
        seed: u64,
    },
}

impl Content {
    /// Returns the size in bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Bytes(bytes) => bytes.len() as u64,
            Self::Generated { size, .. } => *size,
        }
    }

    /// Returns the bytes of a range.
    pub fn read(&self, range: Range<u64>) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes[index(range.start)..index(range.end)].to_vec(),
            Self::Generated { size, seed } => {
                assert!(range.end <= *size, "{range:?} of {size} bytes");
                let words = range.start / 8..range.end.div_ceil(8);
                let mut bytes = Vec::with_capacity(index(words.end - words.start) * 8);
                for word in words {
                    bytes.extend_from_slice(&split_mix(*seed, word).to_le_bytes());
                }
                bytes.drain(..index(range.start % 8));
                bytes.truncate(index(range.end - range.start));
                bytes
            }
        }
    }

    /// Returns the SHA-256 digest in hexadecimal.
    pub fn sha256(&self) -> String {
        let mut hasher = Sha256::new();
        let mut start = 0;
        while start < self.size() {
            let end = self.size().min(start + HASH_BLOCK);
            hasher.update(self.read(start..end));
            start = end;
        }
        hex::encode(hasher.finalize())
    }
}

fn split_mix(seed: u64, word: u64) -> u64 {
    let mut z = seed.wrapping_add((word + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Converts an offset to an index. Panics if memory cannot hold that many bytes.
pub(super) fn index(offset: u64) -> usize {
    usize::try_from(offset).unwrap()
}

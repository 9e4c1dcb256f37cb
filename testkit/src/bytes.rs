//! Byte patterns for imports and uploads.

use std::{
    fs::File,
    io::{BufReader, BufWriter, Read as _, Write as _},
    path::Path,
};

/// A generator of bytes without a period that any buffer could hide: xorshift64 (Marsaglia, 2003).
struct Noise(u64);

impl Noise {
    fn new() -> Self {
        Self(0x9e37_79b9_7f4a_7c15)
    }

    fn fill(&mut self, block: &mut [u8]) {
        for word in block.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            word.copy_from_slice(&self.0.to_le_bytes()[..word.len()]);
        }
    }
}

/// Returns this number of pseudo-random bytes; the same ones each time.
pub fn pattern(size: usize) -> Vec<u8> {
    let mut bytes = vec![0; size];
    Noise::new().fill(&mut bytes);
    bytes
}

/// Writes a file of pseudo-random bytes; the same ones each time.
pub fn write_large(path: &Path, mebibytes: u64) {
    let mut file = BufWriter::with_capacity(1 << 20, File::create(path).unwrap());
    let mut noise = Noise::new();
    let mut block = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        noise.fill(&mut block);
        file.write_all(&block).unwrap();
    }
    file.flush().unwrap();
}

/// Compares two files, a buffer at a time.
pub fn same_bytes(one: &Path, other: &Path) -> bool {
    let mut one = BufReader::with_capacity(1 << 20, File::open(one).unwrap());
    let mut other = BufReader::with_capacity(1 << 20, File::open(other).unwrap());
    let (mut a, mut b) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    loop {
        let read = one.read(&mut a).unwrap();
        if read == 0 {
            return other.read(&mut b).unwrap() == 0;
        }
        if other.read_exact(&mut b[..read]).is_err() || a[..read] != b[..read] {
            return false;
        }
    }
}

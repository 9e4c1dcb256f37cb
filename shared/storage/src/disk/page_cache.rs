//! Small reads from the page cache, without blocking: handing such a read to a blocking thread costs several times
//! as much as the read itself.

use std::{io::IoSliceMut, ops::Range, path::Path};

use bytes::Bytes;
use rustix::{
    fs::{CWD, Mode, OFlags, ResolveFlags, openat2},
    io::{ReadWriteFlags, preadv2},
};

/// The size of the largest read that is copied on the caller's thread.
const MAX_INLINE_READ_BYTES: u64 = 64 * 1024;

/// Reads the bytes in `range` if both the file's name (openat2(2), `RESOLVE_CACHED`) and the bytes (preadv2(2),
/// `RWF_NOWAIT`) are cached. Returns None otherwise, and on any error: the blocking read that follows reports it.
pub(super) fn read(path: &Path, range: &Range<u64>) -> Option<Bytes> {
    let size = range.end.checked_sub(range.start)?;
    if size > MAX_INLINE_READ_BYTES {
        return None;
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let file = openat2(CWD, path, flags, Mode::empty(), ResolveFlags::CACHED).ok()?;
    let mut bytes = vec![0; usize::try_from(size).ok()?];
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let read = preadv2(&file, &mut buffers, range.start, ReadWriteFlags::NOWAIT).ok()?;
    (read == bytes.len()).then(|| bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cached_small_reads_succeed_and_large_missing_or_short_ones_return_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file");
        let written: Vec<u8> = (0..=250).cycle().take(100_000).collect();
        std::fs::write(&path, &written).unwrap();
        for range in [0..20_000, 4_097..4_098, 34_464..100_000, 7..7] {
            let start = usize::try_from(range.start).unwrap();
            let end = usize::try_from(range.end).unwrap();
            let read = read(&path, &range);
            assert_eq!(read.as_deref(), Some(&written[start..end]), "{range:?}");
        }
        assert_eq!(read(&path, &(0..100_000)), None);
        assert_eq!(read(&path, &(99_999..100_001)), None);
        assert_eq!(read(&directory.path().join("none"), &(0..1)), None);
    }
}

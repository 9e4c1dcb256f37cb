//! Failing file operations: EIO and ENOSPC from writing, syncing, truncating, renaming and opening the files
//! of the database or of the blobs. A small library that is loaded into the program injects them
//! (`testkit/native/failing_files.c`).

use std::{
    fs::File,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    process::Command,
};

/// The calls that the library counts, in its order.
const CALLS: [&str; 6] = ["write", "pwrite", "sync", "truncate", "rename", "open"];
/// The areas that the library counts, in its order.
const AREAS: [&str; 2] = ["database", "blobs"];
/// The number of words before the counts: errno, the calls that may fail, and the probability for each area.
const HEADER_WORDS: usize = 2 + AREAS.len();
const WORDS: usize = HEADER_WORDS + AREAS.len() * CALLS.len();

/// The files whose operations fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Area {
    /// The database with its journal files.
    Database,
    /// The stored blobs.
    Blobs,
}

/// The error of a failing operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileError {
    /// EIO, as from a broken disk.
    Io,
    /// ENOSPC, as from a full disk.
    NoSpace,
}

/// The set of calls that may fail, as bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Calls(u32);

impl Calls {
    pub const ALL: Self = Self((1 << CALLS.len()) - 1);
    /// `write`, `writev` and `pwrite`.
    pub const WRITES: Self = Self(0b11);
    /// `fsync` and `fdatasync`.
    pub const SYNCS: Self = Self(0b100);
}

impl FileError {
    fn errno(self) -> u32 {
        match self {
            Self::Io => 5,
            Self::NoSpace => 28,
        }
    }
}

/// Controls the library.
pub struct FileFaults {
    library: PathBuf,
    control_path: PathBuf,
    control: File,
    database: PathBuf,
    blobs: PathBuf,
}

impl FileFaults {
    /// Compiles the library into a directory. No call fails before [`FileFaults::begin`].
    pub fn prepare(directory: &Path, database: &Path, blobs: &Path) -> Self {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("native/failing_files.c");
        let library = directory.join("failing_files.so");
        let compiled = Command::new("cc")
            .args(["-O1", "-Wall", "-shared", "-fPIC", "-o"])
            .args([&library, &source])
            .arg("-ldl")
            .status()
            .expect("a C compiler; `make install` installs it");
        assert!(compiled.success(), "{} does not compile", source.display());
        let control_path = directory.join("failing_files.control");
        let control = File::options()
            .create(true)
            .truncate(true)
            .read(true)
            .write(true)
            .open(&control_path)
            .unwrap();
        control.set_len((WORDS * size_of::<u32>()) as u64).unwrap();
        Self {
            library,
            control_path,
            control,
            database: database.to_owned(),
            blobs: blobs.to_owned(),
        }
    }

    /// Returns the environment that loads the library into a program.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [
            ("LD_PRELOAD", text(&self.library)),
            ("FAILING_FILES_CONTROL", text(&self.control_path)),
            ("FAILING_FILES_DATABASE", text(&self.database)),
            ("FAILING_FILES_BLOBS", text(&self.blobs)),
        ]
    }

    /// Makes calls on an area fail, with a probability in 1/10,000.
    pub fn begin(&self, area: Area, error: FileError, calls: Calls, chance: u32) {
        let (database, blobs) = match area {
            Area::Database => (chance, 0),
            Area::Blobs => (0, chance),
        };
        self.set([error.errno(), calls.0, database, blobs]);
    }

    /// Stops injecting failures.
    pub fn end(&self) {
        self.set([0; HEADER_WORDS]);
    }

    fn set(&self, words: [u32; HEADER_WORDS]) {
        let bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        self.control.write_all_at(&bytes, 0).unwrap();
    }

    /// Returns the number of calls on an area that have failed so far.
    pub fn failed(&self, area: Area) -> u32 {
        let index = match area {
            Area::Database => 0,
            Area::Blobs => 1,
        };
        self.counts()[index].iter().sum()
    }

    /// Returns the number of calls that have failed so far, by call and area.
    pub fn failed_calls(&self) -> Vec<(String, usize)> {
        let mut failed = Vec::new();
        for (area, counts) in AREAS.into_iter().zip(self.counts()) {
            for (call, count) in CALLS.into_iter().zip(counts) {
                failed.push((format!("{call} ({area})"), count as usize));
            }
        }
        failed
    }

    fn counts(&self) -> [[u32; CALLS.len()]; AREAS.len()] {
        let mut bytes = [0; WORDS * size_of::<u32>()];
        self.control.read_exact_at(&mut bytes, 0).unwrap();
        let (words, _) = bytes.as_chunks::<4>();
        let count = |index: usize| u32::from_ne_bytes(words[HEADER_WORDS + index]);
        std::array::from_fn(|area| std::array::from_fn(|call| count(area * CALLS.len() + call)))
    }
}

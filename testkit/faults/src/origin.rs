//! The files that are imported.

use media_testkit::{bytes::pattern, nginx::Nginx};
use rand::{RngExt as _, rngs::StdRng};

/// The path prefix of files that are served at 4 MB/s.
const SLOW: &str = "slow/";

/// The files of the origin.
pub(crate) struct Origin {
    base: String,
    files: Vec<File>,
}

struct File {
    path: String,
    /// The relative probability of its choice.
    weight: u32,
    /// The content; `None` if the file does not exist.
    bytes: Option<Vec<u8>>,
}

impl Origin {
    /// Adds files of a few kilobytes, of a megabyte, and of several parts, some of them slow, and one that
    /// does not exist.
    pub(crate) fn fill(nginx: &Nginx, random: &mut StdRng) -> Self {
        let mut files = vec![File {
            path: "missing".to_owned(),
            weight: 2,
            bytes: None,
        }];
        let kinds = [
            (12, 0..40_000, 72, ""),
            (4, 100_000..2_000_000, 16, ""),
            (2, 9_000_000..16_000_000, 2, ""),
            (3, 6_000_000..12_000_000, 9, SLOW),
        ];
        for (count, sizes, weight, below) in kinds {
            for _ in 0..count {
                let bytes = pattern(random.random_range(sizes.clone()));
                let name = format!("file-{}", files.len());
                nginx.add(&name, &bytes);
                files.push(File {
                    path: format!("{below}{name}"),
                    weight: weight / count,
                    bytes: Some(bytes),
                });
            }
        }
        Self {
            base: nginx.url(""),
            files,
        }
    }

    /// Chooses a file at random, by weight.
    pub(crate) fn choose(&self, random: &mut StdRng) -> usize {
        let all: u32 = self.files.iter().map(|file| file.weight).sum();
        let mut left = random.random_range(0..all);
        for (index, file) in self.files.iter().enumerate() {
            match left.checked_sub(file.weight) {
                Some(rest) => left = rest,
                None => return index,
            }
        }
        0
    }

    /// Chooses a slow file at random.
    pub(crate) fn choose_slow(&self, random: &mut StdRng) -> usize {
        let is_slow = |index: &usize| self.files[*index].path.starts_with(SLOW);
        let slow: Vec<usize> = (0..self.files.len()).filter(is_slow).collect();
        slow[random.random_range(0..slow.len())]
    }

    pub(crate) fn url(&self, file: usize) -> String {
        format!("{}{}", self.base, self.files[file].path)
    }

    /// Returns the URL of a small file.
    pub(crate) fn small(&self) -> String {
        self.url(1)
    }

    /// Returns the content of a file, or `None` if it does not exist.
    pub(crate) fn bytes(&self, file: usize) -> Option<&[u8]> {
        self.files[file].bytes.as_deref()
    }
}

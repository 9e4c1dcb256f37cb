//! The stored bytes, read without code of the service.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
};

use media_testkit::{cluster::PREFIX, seaweed::Seaweed};

/// The suffix of files that are being written.
const PARTIAL_SUFFIX: &str = ".partial";

/// The place of the stored bytes.
pub(crate) enum Storage<'a> {
    /// The bucket, below the prefix of the programs.
    Bucket(&'a Seaweed),
    Directory(PathBuf),
}

impl Storage<'_> {
    /// Returns the sizes of all complete objects, by key.
    pub(crate) async fn objects(&self) -> HashMap<String, u64> {
        match self {
            Self::Bucket(seaweed) => {
                let objects = seaweed.objects(PREFIX).await.into_iter();
                objects
                    .map(|(key, size)| (without_prefix(&key), size))
                    .collect()
            }
            Self::Directory(root) => files(root)
                .into_iter()
                .filter(|(key, _)| !key.ends_with(PARTIAL_SUFFIX))
                .collect(),
        }
    }

    /// Returns the keys of all incomplete objects.
    pub(crate) async fn unfinished(&self) -> Vec<String> {
        match self {
            Self::Bucket(seaweed) => {
                let uploads = seaweed.open_uploads(PREFIX).await;
                uploads.iter().map(|key| without_prefix(key)).collect()
            }
            Self::Directory(root) => files(root)
                .keys()
                .filter_map(|key| key.strip_suffix(PARTIAL_SUFFIX))
                .map(str::to_owned)
                .collect(),
        }
    }

    pub(crate) async fn bytes(&self, key: &str) -> Vec<u8> {
        match self {
            Self::Bucket(seaweed) => seaweed.object(&format!("{PREFIX}{key}")).await,
            Self::Directory(root) => tokio::fs::read(root.join(key)).await.unwrap(),
        }
    }
}

fn without_prefix(key: &str) -> String {
    key.strip_prefix(PREFIX).unwrap_or(key).to_owned()
}

/// Returns the sizes of all files below a directory, by relative path.
fn files(root: &Path) -> HashMap<String, u64> {
    let mut files = HashMap::new();
    let mut directories = vec![root.to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            // The collector may have deleted the file in the meantime.
            let Ok(metadata) = std::fs::metadata(&path) else {
                continue;
            };
            if metadata.is_dir() {
                directories.push(path);
            } else {
                let key = path.strip_prefix(root).unwrap().to_str().unwrap();
                files.insert(key.to_owned(), metadata.len());
            }
        }
    }
    files
}

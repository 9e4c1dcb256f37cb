//! File permissions of the data directory.

use std::{
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use media_testkit::{nginx::Nginx, service::Installation};

use crate::fixture::MEDIA;

/// Returns all files and directories below a directory.
fn all_below(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all_below(&path));
        }
        found.push(path);
    }
    found
}

#[tokio::test]
async fn no_other_account_reads_tables_journals_locks_or_media() {
    let nginx = Nginx::start().await;
    nginx.add("file", b"bytes");
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let job = service.import(&nginx.url("file"), "r", None).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
    let all = all_below(&installation.directory().join("data"));
    for name in ["media.db", "media.db-wal", "media.db-shm", "media.db.lock"] {
        assert!(all.iter().any(|path| path.ends_with(name)), "{name}");
    }
    assert_eq!(installation.stored_files().len(), 1);
    for path in all {
        let mode = path.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{}: {mode:o}", path.display());
    }
}

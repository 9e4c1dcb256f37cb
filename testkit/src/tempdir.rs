//! Temporary directories that are removed when the test process has ended, however it ended. The servers that
//! all tests of a process share are never dropped, and an object store reserves a gigabyte.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
};

use tempfile::TempDir;

/// Waits until the pipe is closed, then removes the directory; servers in it may need a while to end.
const CLEANER: &str = r#"
read -r _
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
  rm -rf "$0" && exit
  sleep 1
done
"#;

/// The parent directory of this process and the shell that removes it.
static BASE: LazyLock<(PathBuf, Child)> = LazyLock::new(|| {
    let base = tempfile::Builder::new()
        .prefix("media-tests-")
        .permissions(Permissions::from_mode(0o711))
        .tempdir()
        .unwrap()
        .keep();
    let cleaner = Command::new("sh")
        .args(["-c", CLEANER])
        .arg(&base)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    (base, cleaner)
});

/// Creates a directory, which is removed when it is dropped, or else when the process has ended.
pub fn create() -> TempDir {
    fs::create_dir_all(base()).unwrap();
    tempfile::tempdir_in(base()).unwrap()
}

fn base() -> &'static Path {
    &BASE.0
}

//! The permissions of the files that the programs create.

use rustix::{fs::Mode, process::umask};

/// Sets the umask so that all files and directories that this process creates are private to its account (modes 600 and
/// 700). Must be called first in `main`.
pub fn by_default() {
    umask(Mode::RWXG | Mode::RWXO);
}

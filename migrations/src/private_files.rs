//! The modes of the files that the programs create.

use rustix::{fs::Mode, process::umask};

/// Makes all files and directories that this process creates from now on private to its account: tables,
/// journals, locks and media, with the modes 600 and 700. To be called first in `main`.
pub fn by_default() {
    umask(Mode::RWXG | Mode::RWXO);
}

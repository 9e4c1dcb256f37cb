//! The programs of this workspace.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

/// Returns the path of a program. It is built first if it is not up to date, in the profile of the caller; if
/// `$TESTKIT_PROGRAMS` names a directory, the program there is used as it is.
pub fn path(name: &str) -> PathBuf {
    static PROGRAMS: OnceLock<PathBuf> = OnceLock::new();
    let directory = PROGRAMS.get_or_init(|| {
        let given = std::env::var_os("TESTKIT_PROGRAMS").map(PathBuf::from);
        given.unwrap_or_else(build)
    });
    directory.join(name)
}

/// Builds all programs and returns their directory.
fn build() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // target/<profile>/<program>, or target/<profile>/deps/<test>.
    let mut directory = own.parent().unwrap();
    if directory.ends_with("deps") {
        directory = directory.parent().unwrap();
    }
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") => "dev",
        Some(profile) => profile,
        None => panic!("{} is not below a target directory", own.display()),
    };
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // The variables that cargo sets for the tests of this package would make build scripts run again.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        let about_package = [
            "CARGO_PKG_",
            "CARGO_MANIFEST_",
            "CARGO_BIN_",
            "CARGO_CRATE_",
        ];
        if about_package.iter().any(|prefix| text.starts_with(prefix)) {
            cargo.env_remove(&name);
        }
    }
    let status = cargo
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            "--profile",
            profile,
        ])
        .arg("--target-dir")
        .arg(directory.parent().unwrap())
        .current_dir(root)
        .status()
        .unwrap();
    assert!(status.success(), "the programs do not build");
    directory.to_owned()
}

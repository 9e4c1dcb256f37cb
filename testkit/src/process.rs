//! Servers that end with the tests, however those end.

use std::{
    path::Path,
    process::{Child, Command, Stdio},
};

/// A server under a shell that ends it as soon as the test's end of a pipe is closed, which even
/// `kill -9` of the test does.
#[derive(Debug)]
pub(crate) struct Supervised(Child);

/// Starts, then waits for the pipe to close, then ends what it started.
const SUPERVISOR: &str = r#"
"$@" < /dev/null & server=$!
read -r _
kill "$0" "$server" 2>/dev/null
wait "$server"
"#;

impl Supervised {
    /// Starts a server; `stop` is the signal that ends it, such as `-INT`.
    pub(crate) fn start(stop: &str, program: &Path, arguments: &[&str]) -> Self {
        assert!(
            program.exists(),
            "{} is missing; `make install` installs it",
            program.display()
        );
        let child = Command::new("sh")
            .args(["-c", SUPERVISOR, stop])
            .arg(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a shell");
        Self(child)
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

//! Servers that end with the test process, however that ends.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// A server under a shell that ends it when the test's end of a pipe is closed, which happens even if the
/// test is killed.
#[derive(Debug)]
pub struct Supervised {
    shell: Child,
    pid: u32,
}

/// Starts the server, prints its process id, waits until the pipe is closed, and ends the server. A frozen
/// server is resumed so that it can end; one that does not end is killed, as no test may be left to do so.
const SUPERVISOR: &str = r#"
exec 3>&1 1>&2
"$@" < /dev/null 3>&- & server=$!
echo "$server" >&3
exec 3>&-
read -r _
kill "$0" "$server" 2>/dev/null
kill -CONT "$server" 2>/dev/null
left=1000
while kill -0 "$server" 2>/dev/null && [ "$left" -gt 0 ]; do
    sleep 0.02
    left=$((left - 1))
done
kill -KILL "$server" 2>/dev/null
wait "$server"
"#;

/// The longest time from the signal to the end of a server.
const END_LIMIT: Duration = Duration::from_secs(30);

/// The way to start a server.
#[derive(Debug)]
pub struct Launch {
    program: PathBuf,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    bare: bool,
    directory: Option<PathBuf>,
    log: Option<PathBuf>,
    stop: &'static str,
}

impl Launch {
    /// Prepares a program whose output is dropped and which SIGTERM ends.
    pub fn new(program: impl AsRef<Path>, arguments: &[&str]) -> Self {
        Self {
            program: program.as_ref().into(),
            arguments: arguments.iter().map(ToString::to_string).collect(),
            variables: Vec::new(),
            bare: false,
            directory: None,
            log: None,
            stop: "-TERM",
        }
    }

    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes all variables of this process from the environment except `PATH`.
    #[must_use]
    pub fn bare(self) -> Self {
        Self { bare: true, ..self }
    }

    /// Sets the working directory.
    #[must_use]
    pub fn directory(self, directory: &Path) -> Self {
        Self {
            directory: Some(directory.into()),
            ..self
        }
    }

    /// Appends the output to a file.
    #[must_use]
    pub fn log(self, path: &Path) -> Self {
        Self {
            log: Some(path.into()),
            ..self
        }
    }

    /// Sets the signal that ends the program, such as `-INT`.
    #[must_use]
    pub fn ended_by(self, stop: &'static str) -> Self {
        Self { stop, ..self }
    }

    pub fn start(self) -> Supervised {
        assert!(
            self.program.exists(),
            "{} is missing; `make install` installs it",
            self.program.display()
        );
        let mut command = Command::new("/bin/sh");
        if self.bare {
            command.env_clear();
            command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        }
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let output = match &self.log {
            Some(path) => Stdio::from(
                File::options()
                    .create(true)
                    .append(true)
                    .open(path)
                    .unwrap(),
            ),
            None => Stdio::null(),
        };
        let mut shell = command
            .args(["-c", SUPERVISOR, self.stop])
            .arg(&self.program)
            .args(&self.arguments)
            .envs(self.variables)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(output)
            .spawn()
            .expect("a shell");
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let pid = line.trim().parse().expect("the process id of the server");
        Supervised { shell, pid }
    }
}

impl Supervised {
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sends a signal, such as `-KILL`.
    pub fn signal(&self, signal: &str) {
        // Fails if the process has ended, when it needs no signal.
        let _ = Command::new("kill")
            .args([signal, &self.pid.to_string()])
            .stderr(Stdio::null())
            .status();
    }

    pub fn has_ended(&self) -> bool {
        // Until the shell waits for it, an ended process is a zombie.
        match std::fs::read_to_string(format!("/proc/{}/stat", self.pid)) {
            Ok(stat) => stat
                .rsplit_once(')')
                .is_some_and(|(_, rest)| rest.trim_start().starts_with('Z')),
            Err(_) => true,
        }
    }

    /// Sends the signal that ends the program, and waits until it has ended.
    pub fn stop(self) {
        drop(self);
    }

    /// Sends SIGKILL and waits until the program has ended.
    pub fn kill(self) {
        self.signal("-KILL");
    }
}

impl Drop for Supervised {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let end = Instant::now() + END_LIMIT;
        while matches!(self.shell.try_wait(), Ok(None)) {
            if Instant::now() > end {
                self.signal("-KILL");
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}

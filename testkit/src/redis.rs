//! A Redis server with a data directory of its own.

use std::{process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    free_port,
    process::{Launch, Supervised},
    tempdir, wait_until,
};

/// A Redis server, which can be stopped and started again on the same port.
pub struct Redis {
    // Dropped before the directory is removed.
    process: Option<Supervised>,
    port: u16,
    directory: TempDir,
    options: Vec<String>,
}

impl Redis {
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts a server with additional options.
    pub async fn start_with(options: &[&str]) -> Self {
        let mut redis = Self {
            port: free_port(),
            directory: tempdir::create(),
            options: options.iter().map(ToString::to_string).collect(),
            process: None,
        };
        redis.restart().await;
        redis
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the value for `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts the server again after [`Redis::kill`]; its data is lost.
    pub async fn restart(&mut self) {
        let port = self.port.to_string();
        let directory = self.directory.path().to_str().unwrap();
        let arguments = [
            "--port",
            &port,
            "--bind",
            "127.0.0.1",
            "--save",
            "",
            "--dir",
            directory,
        ];
        let options = self.options.iter().map(String::as_str);
        let arguments: Vec<&str> = arguments.into_iter().chain(options).collect();
        self.process = Some(Launch::new("/usr/bin/redis-server", &arguments).start());
        wait_until("Redis listens", Duration::from_secs(10), async || {
            (self.command(&["PING"])? == "PONG").then_some(())
        })
        .await;
    }

    /// Sends SIGKILL and waits until the server has ended.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Returns the reply to a command, as `redis-cli` prints it, or `None` if there is none.
    pub fn command(&self, command: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("redis-cli");
        let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        output.status.success().then_some(answer)
    }

    /// Returns the memory that the data uses, in bytes.
    pub fn memory(&self) -> u64 {
        let info = self.command(&["INFO", "memory"]).expect("Redis answers");
        info.lines()
            .find_map(|line| line.strip_prefix("used_memory:"))
            .and_then(|bytes| bytes.trim().parse().ok())
            .expect("a number")
    }

    /// Returns the number of commands processed, including the one that asks for it.
    pub fn commands_processed(&self) -> u64 {
        let info = self.command(&["INFO", "stats"]).expect("Redis answers");
        info.lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"))
            .and_then(|count| count.trim().parse().ok())
            .expect("a number")
    }
}

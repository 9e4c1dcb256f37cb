//! A Redis server with data of its own.

use std::{process::Command, time::Duration};

use tempfile::TempDir;

use crate::{
    free_port,
    process::{Launch, Supervised},
    tempdir, wait_until,
};

/// A Redis that can be stopped and started again on the same port.
pub struct Redis {
    // Ends before its data goes.
    process: Option<Supervised>,
    port: u16,
    directory: TempDir,
    options: Vec<String>,
}

impl Redis {
    /// Starts it, empty.
    pub async fn start() -> Self {
        Self::start_with(&[]).await
    }

    /// Starts it with more options.
    pub async fn start_with(options: &[&str]) -> Self {
        let mut redis = Self {
            port: free_port(),
            directory: tempdir::create(),
            options: options.iter().map(ToString::to_string).collect(),
            process: None,
        };
        redis.start_again().await;
        redis
    }

    /// The port that it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// For `REDIS_URL`.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts it after a stop; what it held is gone.
    pub async fn start_again(&mut self) {
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
            (self.ask(&["PING"])? == "PONG").then_some(())
        })
        .await;
    }

    /// Ends it without warning.
    pub fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    /// Its answer to a command, as `redis-cli` prints it; none if it does not answer.
    pub fn ask(&self, command: &[&str]) -> Option<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string()])
            .args(command)
            .output()
            .expect("redis-cli");
        let answer = String::from_utf8(output.stdout).ok()?.trim().to_owned();
        output.status.success().then_some(answer)
    }

    /// The bytes that its data takes.
    pub fn memory(&self) -> u64 {
        let info = self.ask(&["INFO", "memory"]).expect("Redis answers");
        info.lines()
            .find_map(|line| line.strip_prefix("used_memory:"))
            .and_then(|bytes| bytes.trim().parse().ok())
            .expect("a figure")
    }

    /// How many commands it has done, those of this question included.
    pub fn commands_done(&self) -> u64 {
        let info = self.ask(&["INFO", "stats"]).expect("Redis answers");
        info.lines()
            .find_map(|line| line.strip_prefix("total_commands_processed:"))
            .and_then(|count| count.trim().parse().ok())
            .expect("a figure")
    }
}

//! The baselines: rclone, aria2c and curl, as Debian packages them, with their default settings.

use std::{path::Path, process::Command, time::Duration};

use media_testkit::{
    free_address, http_client,
    process::{Launch, Supervised},
    seaweed::{ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed},
    wait_until,
};
use reqwest::Client;
use serde_json::json;

/// Returns rclone's name of a path in the bucket.
pub(crate) fn bucket(below: &str) -> String {
    format!("weed:{BUCKET}/{below}")
}

/// Returns the environment that configures a bucket for rclone and keeps it from reading its configuration
/// file.
fn rclone_variables(seaweed: Option<&Seaweed>) -> Vec<(String, String)> {
    let mut variables = vec![("RCLONE_CONFIG".to_owned(), "/dev/null".to_owned())];
    if let Some(seaweed) = seaweed {
        for (name, value) in [
            ("TYPE", "s3"),
            ("PROVIDER", "Other"),
            ("ENDPOINT", &seaweed.endpoint()),
            ("ACCESS_KEY_ID", ACCESS_KEY),
            ("SECRET_ACCESS_KEY", SECRET_KEY),
        ] {
            variables.push((format!("RCLONE_CONFIG_WEED_{name}"), value.to_owned()));
        }
    }
    variables
}

/// Returns a command whose environment contains `PATH` only.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// Returns an `rclone` command, configured for the bucket of a server if there is one.
pub(crate) fn rclone(arguments: &[&str], seaweed: Option<&Seaweed>) -> Command {
    let mut rclone = command("rclone");
    rclone.args(arguments).envs(rclone_variables(seaweed));
    rclone
}

/// Returns an `aria2c` command that downloads a URL into a file.
pub(crate) fn aria2c(arguments: &[&str], url: &str, file: &Path) -> Command {
    let mut aria2c = command("aria2c");
    aria2c
        .args(["--no-conf", "--quiet"])
        .args(arguments)
        .arg("--dir")
        .arg(file.parent().unwrap())
        .arg("--out")
        .arg(file.file_name().unwrap())
        .arg(url);
    aria2c
}

/// Returns a `curl` command that prints errors only and fails on HTTP errors.
pub(crate) fn curl(arguments: &[&str]) -> Command {
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--fail"])
        .args(arguments);
    curl
}

/// `rclone rcd`: rclone as a service.
pub(crate) struct Rcd {
    process: Supervised,
    base: String,
    http: Client,
}

impl Rcd {
    pub(crate) async fn start(seaweed: Option<&Seaweed>) -> Self {
        let address = free_address();
        let arguments = ["rcd", "--rc-no-auth", "--rc-addr", &address];
        let launch = Launch::new("/usr/bin/rclone", &arguments).bare();
        let launch = rclone_variables(seaweed)
            .iter()
            .fold(launch, |launch, (name, value)| launch.variable(name, value));
        let rcd = Self {
            process: launch.start(),
            base: format!("http://{address}"),
            http: http_client(),
        };
        let limit = Duration::from_secs(10);
        wait_until("rclone listens", limit, async || {
            let answer = rcd.http.post(format!("{}/rc/noop", rcd.base)).send();
            answer.await.ok()
        })
        .await;
        rcd
    }

    /// Copies a URL into a directory or bucket, under a name.
    pub(crate) async fn copy_url(&self, url: &str, into: &str, name: &str) {
        let answer = self
            .http
            .post(format!("{}/operations/copyurl", self.base))
            .json(&json!({ "fs": into, "remote": name, "url": url }))
            .send()
            .await
            .unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {:?}", answer.text().await);
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

//! What a user would pick instead: rclone, aria2c and curl, as Debian has them and with the settings that
//! they come with.

use std::{path::Path, process::Command, time::Duration};

use media_testkit::{
    free_address, http_client,
    process::{Launch, Supervised},
    seaweed::{ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed},
    wait_until,
};
use reqwest::Client;
use serde_json::json;

/// rclone's name for the bucket.
pub(crate) fn bucket(below: &str) -> String {
    format!("weed:{BUCKET}/{below}")
}

/// What tells rclone of the bucket, and that it has no configuration beside.
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

/// A command, with nothing of this process's environment but `PATH`.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// `rclone`, which may know of a bucket.
pub(crate) fn rclone(arguments: &[&str], seaweed: Option<&Seaweed>) -> Command {
    let mut rclone = command("rclone");
    rclone.args(arguments).envs(rclone_variables(seaweed));
    rclone
}

/// `aria2c` of a URL into a file.
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

/// `curl`, which says nothing but errors, and fails where the server refuses.
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
    /// Starts it.
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

    /// Fetches a URL into a directory or bucket, under a name.
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

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

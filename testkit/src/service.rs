//! The program `media`, as a user starts it.

use std::{
    path::{Path, PathBuf},
    process::Stdio,
    sync::Arc,
    time::Duration,
};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::{http_client, tempdir, wait_until};

/// The time of a job that stays scheduled for as long as a test runs.
pub const FAR_FUTURE: &str = "2100-01-01T00:00:00Z";

/// The longest time that a job of a test may take.
const JOB_LIMIT: Duration = Duration::from_mins(1);
/// The longest wait for a number of files in storage; the collector runs every five seconds.
const COLLECT_LIMIT: Duration = Duration::from_secs(30);

/// A data directory and the configuration of a service.
pub struct Installation {
    program: PathBuf,
    directory: Arc<TempDir>,
    variables: Vec<(String, String)>,
    logging: bool,
}

pub struct Service {
    child: Child,
    base: String,
    /// Keeps the data while the service runs, even if the installation is dropped.
    _directory: Arc<TempDir>,
    pub http: Client,
}

impl Installation {
    /// Creates a data directory for `program`, whose imports may reach loopback.
    pub fn new(program: &str) -> Self {
        let installation = Self {
            program: PathBuf::from(program),
            directory: Arc::new(tempdir::create()),
            variables: Vec::new(),
            logging: false,
        };
        installation.with("MEDIA_EGRESS_ALLOW", "127.0.0.1/32")
    }

    /// Sets a variable.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Writes the log to a file, for [`Installation::log`].
    #[must_use]
    pub fn logging(self) -> Self {
        let logging = true;
        Self { logging, ..self }
    }

    /// Returns everything that the services of this installation have logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.log_file()).unwrap()
    }

    fn log_file(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn log_to(&self) -> Stdio {
        if self.logging {
            let mut options = std::fs::File::options();
            let file = options.create(true).append(true).open(self.log_file());
            file.unwrap().into()
        } else {
            Stdio::inherit()
        }
    }

    /// Returns the working directory; the data is in `data` below.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// Returns a command of the program, without the environment of this process.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command
            .args(arguments)
            .current_dir(self.directory.path())
            .env_clear()
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Returns the path of the SQLite database.
    pub fn database(&self) -> PathBuf {
        self.directory.path().join("data/media.db")
    }

    /// Starts the service on a free port and waits until it is ready.
    pub async fn serve(&self) -> Service {
        self.serve_at("127.0.0.1:0").await
    }

    /// Starts the service at an address and waits until it is ready.
    pub async fn serve_at(&self, address: &str) -> Service {
        let lock = self.directory.path().join("data/media.db.lock");
        // A killed service leaves its address in this file.
        let _ = std::fs::remove_file(&lock);
        let mut child = self
            .command(&["serve", "--listen", address])
            .stderr(self.log_to())
            .spawn()
            .unwrap();
        let limit = Duration::from_secs(30);
        let base = wait_until("the service writes its address", limit, async || {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "the service ended: {ended:?}");
            let url = std::fs::read_to_string(&lock).ok()?;
            url.ends_with('\n').then(|| url.trim().to_owned())
        })
        .await;
        let service = Service {
            child,
            base,
            _directory: Arc::clone(&self.directory),
            http: http_client(),
        };
        wait_until("the service is ready", limit, async || {
            let answer = service.get("/readyz").await;
            (answer.status() == StatusCode::OK).then_some(())
        })
        .await;
        service
    }

    /// Returns all files in storage, partial ones included.
    pub fn stored_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        let mut directories = vec![self.directory.path().join("data/blobs")];
        while let Some(directory) = directories.pop() {
            for entry in std::fs::read_dir(directory).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    directories.push(path);
                } else {
                    files.push(path);
                }
            }
        }
        files
    }

    /// Waits until storage holds this number of files, partial ones included.
    pub async fn wait_for_stored_files(&self, count: usize) {
        let condition = format!("{count} files are stored");
        wait_until(&condition, COLLECT_LIMIT, async || {
            (self.stored_files().len() == count).then_some(())
        })
        .await;
    }
}

impl Service {
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Requests a path.
    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    /// Posts a document.
    pub async fn post(&self, path: &str, document: &Value) -> Response {
        let request = self.http.post(self.url(path)).json(document);
        request.send().await.unwrap()
    }

    /// Creates an import with these arguments and further attributes, and returns the job.
    pub async fn create_job(&self, arguments: &Value, attributes: Value) -> Value {
        let answer = self.post("/jobs", &import(arguments, attributes)).await;
        let status = answer.status();
        let document: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{document}");
        document["data"].clone()
    }

    /// Returns a job in its current state.
    pub async fn job(&self, id: &str) -> Value {
        let document: Value = self.get(&format!("/jobs/{id}")).await.json().await.unwrap();
        document["data"].clone()
    }

    /// Waits until a job has one of these statuses and returns it.
    pub async fn wait_for(&self, id: &str, statuses: &[&str]) -> Value {
        wait_until(&format!("the job is {statuses:?}"), JOB_LIMIT, async || {
            let job = self.job(id).await;
            let status = job["attributes"]["status"].as_str().unwrap();
            statuses.contains(&status).then_some(job)
        })
        .await
    }

    /// Waits until a job has received bytes, and returns it.
    pub async fn wait_for_bytes(&self, id: &str) -> Value {
        wait_until("the job has received bytes", JOB_LIMIT, async || {
            let job = self.job(id).await;
            (job["attributes"]["bytes_done"].as_u64().unwrap() > 0).then_some(job)
        })
        .await
    }

    /// Sends a signal to a job.
    pub async fn signal(&self, id: &str, signal: &str) -> Response {
        let path = format!("/jobs/{id}/signal");
        self.post(&path, &signal_document(signal)).await
    }

    /// Imports without retries, waits for the end, and returns the job.
    pub async fn import(&self, url: &str, resource: &str, key: Option<&str>) -> Value {
        let arguments = json!({ "url": url, "resource": resource, "key": key });
        let job = self
            .create_job(&arguments, json!({ "max_retries": 0 }))
            .await;
        let id = job["id"].as_str().unwrap();
        self.wait_for(id, &["succeeded", "failed", "cancelled"])
            .await
    }

    /// Returns the attributes of a media.
    pub async fn media(&self, path: &str) -> Value {
        let answer = self.get(&format!("/medias/info/{path}")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()["data"]["attributes"].clone()
    }

    /// Returns the peak memory of the process, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// Returns the current memory of the process, in bytes.
    pub fn memory_now(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    pub fn pid(&self) -> u32 {
        self.child.id().expect("the service runs")
    }

    /// Sends SIGKILL and waits until the service has ended.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Sends SIGTERM and waits until the service has ended.
    pub async fn stop(mut self) -> std::process::ExitStatus {
        let pid = self.pid().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status().await;
        assert!(sent.unwrap().success());
        tokio::time::timeout(Duration::from_secs(30), self.child.wait())
            .await
            .expect("the service stops in time")
            .unwrap()
    }
}

/// Returns a document that requests an import.
pub fn import(arguments: &Value, attributes: Value) -> Value {
    let mut all = json!({ "job_class": "media:import", "arguments": arguments });
    if let (Some(all), Value::Object(more)) = (all.as_object_mut(), attributes) {
        all.extend(more);
    }
    json!({ "data": { "type": "media:jobs", "attributes": all } })
}

/// Returns a document that signals a job.
pub fn signal_document(signal: &str) -> Value {
    json!({ "data": { "type": "media:signals", "attributes": { "signal": signal } } })
}

/// Returns a document that changes attributes of a job.
pub fn change_document(job: &str, attributes: &Value) -> Value {
    json!({ "data": { "type": "media:jobs", "id": job, "attributes": attributes } })
}

/// Returns a name that no other test uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::now_v7())
}

//! The program as a user would start it.

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

/// How long a job of a test may take.
const JOB_LIMIT: Duration = Duration::from_mins(1);
/// The longest wait for a number of files in storage; the collector runs every five seconds.
const COLLECT_LIMIT: Duration = Duration::from_secs(30);

/// Where a service keeps its data, and how it is configured.
pub struct Installation {
    program: PathBuf,
    directory: Arc<TempDir>,
    variables: Vec<(String, String)>,
    logging: bool,
}

/// A running service.
pub struct Service {
    child: Child,
    base: String,
    /// Its data stays for as long as it runs, whatever becomes of the installation.
    _directory: Arc<TempDir>,
    /// Talks to it.
    pub http: Client,
}

impl Installation {
    /// A new data directory for `program`, whose imports may reach this machine.
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

    /// Keeps what the service logs, for [`Installation::log`].
    #[must_use]
    pub fn logging(self) -> Self {
        let logging = true;
        Self { logging, ..self }
    }

    /// All that services have logged so far.
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

    /// The directory that it runs in; its data is below, in `data`.
    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A command of the program, with nothing of this process's environment.
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

    /// The database of the service.
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
        // What a killed service has left there is no news.
        let _ = std::fs::remove_file(&lock);
        let mut child = self
            .command(&["serve", "--listen", address])
            .stderr(self.log_to())
            .spawn()
            .unwrap();
        let limit = Duration::from_secs(30);
        let base = wait_until("the service says where it is", limit, async || {
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

    /// All files in storage, partial ones too.
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
    /// The URL of a path.
    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    /// Asks for a path.
    pub async fn get(&self, path: &str) -> Response {
        self.http.get(self.url(path)).send().await.unwrap()
    }

    /// Posts a document, whatever it is.
    pub async fn post(&self, path: &str, document: &Value) -> Response {
        let request = self.http.post(self.url(path)).json(document);
        request.send().await.unwrap()
    }

    /// Enters an import with these arguments, and attributes beside them.
    pub async fn enter(&self, arguments: &Value, attributes: Value) -> Value {
        let answer = self.post("/jobs", &import(arguments, attributes)).await;
        let status = answer.status();
        let document: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{document}");
        document["data"].clone()
    }

    /// The job, as it is now.
    pub async fn job(&self, id: &str) -> Value {
        let document: Value = self.get(&format!("/jobs/{id}")).await.json().await.unwrap();
        document["data"].clone()
    }

    /// Waits until the job is in one of these statuses.
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

    /// Imports without retries and waits for the end.
    pub async fn import(&self, url: &str, resource: &str, key: Option<&str>) -> Value {
        let arguments = json!({ "url": url, "resource": resource, "key": key });
        let job = self.enter(&arguments, json!({ "max_retries": 0 })).await;
        let id = job["id"].as_str().unwrap();
        self.wait_for(id, &["succeeded", "failed", "cancelled"])
            .await
    }

    /// The record of a media.
    pub async fn media(&self, path: &str) -> Value {
        let answer = self.get(&format!("/medias/info/{path}")).await;
        assert_eq!(answer.status(), StatusCode::OK);
        answer.json::<Value>().await.unwrap()["data"]["attributes"].clone()
    }

    /// The most memory that the process ever held, in bytes.
    pub fn peak_memory(&self) -> u64 {
        self.memory("VmHWM:")
    }

    /// The memory that the process holds, in bytes.
    pub fn memory_now(&self) -> u64 {
        self.memory("VmRSS:")
    }

    fn memory(&self, line: &str) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|l| l.strip_prefix(line)).unwrap();
        let kibibytes: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
        kibibytes * 1024
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("the service runs")
    }

    /// Ends it without warning.
    pub async fn kill(mut self) {
        self.child.kill().await.unwrap();
    }

    /// Asks it to stop, and waits until it has.
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

/// A document that asks for an import.
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

/// A name that no other test uses.
pub fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", Uuid::now_v7())
}

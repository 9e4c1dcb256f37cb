//! The dependencies of a production cluster and the programs on them: PostgreSQL, Redis, SeaweedFS, nginx as
//! the origin, and any number of `media-api` and `media-worker`.

use std::{path::PathBuf, process::Command, time::Duration};

use reqwest::{Client, Response, StatusCode};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    free_address, http_client,
    nginx::Nginx,
    pgbouncer::PgBouncer,
    postgres::Postgres,
    process::{Launch, Supervised},
    programs,
    redis::Redis,
    seaweed::{BUCKET, Seaweed},
    service::import,
    tempdir, wait_until,
};

/// The longest time until a program is ready.
const START_LIMIT: Duration = Duration::from_secs(30);
/// The prefix of all object keys.
pub const PREFIX: &str = "imports/";

/// The dependencies, empty except for the schema.
pub struct Cluster {
    pub postgres: Postgres,
    pub redis: Redis,
    pub seaweed: Seaweed,
    pub origin: Nginx,
    directory: TempDir,
    variables: Vec<(String, String)>,
    left_out: Vec<String>,
    pooler: Option<PgBouncer>,
}

pub struct Program {
    name: String,
    process: Supervised,
    base: String,
    http: Client,
}

impl Cluster {
    /// Starts the dependencies. PostgreSQL does not wait for the disk.
    pub async fn start() -> Self {
        Self::start_on(Postgres::start()).await
    }

    /// Starts the dependencies, with a PostgreSQL that is as durable as in production.
    pub async fn start_durable() -> Self {
        Self::start_on(Postgres::start_durable()).await
    }

    async fn start_on(postgres: Postgres) -> Self {
        let (redis, seaweed, origin) =
            tokio::join!(Redis::start(), Seaweed::start(), Nginx::start());
        let cluster = Self {
            postgres,
            redis,
            seaweed,
            origin,
            directory: tempdir::create(),
            variables: Vec::new(),
            left_out: Vec::new(),
            pooler: None,
        };
        let migrated = cluster.migrate("up");
        assert!(migrated.status.success(), "{migrated:?}");
        cluster
    }

    /// Sets a variable of the programs that are started from now on.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Removes a variable of the programs that are started from now on.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.left_out.push(name.to_owned());
        self
    }

    /// Makes the programs that are started from now on use PgBouncer in transaction mode.
    #[must_use]
    pub fn behind_pgbouncer(mut self) -> Self {
        let pooler = PgBouncer::start(&self.postgres);
        let url = pooler.url("postgres");
        self.pooler = Some(pooler);
        self.with("DATABASE_URL", &url)
            .with("MEDIA_DATABASE_POOLER", "transaction")
    }

    pub fn database_url(&self) -> String {
        self.postgres.url("postgres")
    }

    /// Runs `media-migrate` with a command.
    pub fn migrate(&self, command: &str) -> std::process::Output {
        Command::new(programs::path("media-migrate"))
            .arg(command)
            .env("DATABASE_URL", self.database_url())
            .output()
            .unwrap()
    }

    /// Returns the environment of the programs.
    pub fn variables(&self) -> Vec<(String, String)> {
        let mut variables = vec![
            ("DATABASE_URL".to_owned(), self.database_url()),
            ("REDIS_URL".to_owned(), self.redis.url()),
            (
                "MEDIA_STORAGE_URL".to_owned(),
                format!("s3://{BUCKET}/{PREFIX}"),
            ),
            ("MEDIA_EGRESS_ALLOW".to_owned(), "127.0.0.1/32".to_owned()),
        ];
        for (name, value) in self.seaweed.variables() {
            variables.push((name.to_owned(), value));
        }
        variables.extend(self.variables.clone());
        variables.retain(|(name, _)| !self.left_out.contains(name));
        variables
    }

    /// Returns the directory of the programs' logs: `$TESTKIT_LOGS`, which is kept, or a temporary one.
    pub fn logs(&self) -> PathBuf {
        let kept = std::env::var_os("TESTKIT_LOGS").map(PathBuf::from);
        kept.unwrap_or_else(|| self.directory.path().into())
    }

    /// Starts an API and waits until it is ready.
    pub async fn api(&self, name: &str) -> Program {
        let program = self.launch_api(name, &free_address());
        program.ready().await;
        program
    }

    /// Starts a worker and waits until it is ready.
    pub async fn worker(&self, name: &str) -> Program {
        let program = self.launch_worker(name);
        program.ready().await;
        program
    }

    /// Starts an API that listens on an address.
    pub fn launch_api(&self, name: &str, address: &str) -> Program {
        self.launch("media-api", "MEDIA_LISTEN", name, address)
    }

    /// Starts a worker.
    pub fn launch_worker(&self, name: &str) -> Program {
        self.launch("media-worker", "MEDIA_WORKER_LISTEN", name, &free_address())
    }

    fn launch(&self, program: &str, listen: &str, name: &str, address: &str) -> Program {
        let mut launch = Launch::new(programs::path(program), &[])
            .bare()
            .directory(self.directory.path())
            .log(&self.logs().join(format!("{name}.log")))
            .variable(listen, address);
        for (name, value) in self.variables() {
            launch = launch.variable(&name, &value);
        }
        Program::new(name, launch.start(), address)
    }
}

impl Program {
    /// Wraps a process that serves at an address.
    pub fn new(name: &str, process: Supervised, address: &str) -> Self {
        Self {
            name: name.to_owned(),
            process,
            base: format!("http://{address}"),
            http: http_client(),
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub fn process(&self) -> &Supervised {
        &self.process
    }

    /// Requests a path; fails if there is no response.
    pub async fn try_get(&self, path: &str) -> reqwest::Result<Response> {
        self.http.get(self.url(path)).send().await
    }

    /// Requests a path.
    pub async fn get(&self, path: &str) -> Response {
        self.try_get(path).await.unwrap()
    }

    /// Posts a document; fails if there is no response.
    pub async fn try_post(&self, path: &str, document: &Value) -> reqwest::Result<Response> {
        self.http.post(self.url(path)).json(document).send().await
    }

    /// Creates an import and returns its id.
    pub async fn create_job(&self, arguments: &Value, attributes: Value) -> String {
        let answer = self.try_post("/jobs", &import(arguments, attributes)).await;
        let answer = answer.unwrap();
        let status = answer.status();
        let document: Value = answer.json().await.unwrap();
        assert_eq!(status, StatusCode::CREATED, "{document}");
        document["data"]["id"].as_str().unwrap().to_owned()
    }

    /// Creates an import of a URL to a resource and returns its id.
    pub async fn import(&self, url: &str, resource: &str) -> String {
        self.create_job(&json!({ "url": url, "resource": resource }), json!({}))
            .await
    }

    /// Returns the current attributes of a job.
    pub async fn job(&self, id: &str) -> Value {
        let document: Value = self.get(&format!("/jobs/{id}")).await.json().await.unwrap();
        document["data"]["attributes"].clone()
    }

    /// Waits until a job has this status and returns its attributes.
    pub async fn wait_for(&self, id: &str, status: &str) -> Value {
        let what = format!("the job is {status}");
        wait_until(&what, Duration::from_mins(2), async || {
            let job = self.job(id).await;
            (job["status"] == status).then_some(job)
        })
        .await
    }

    /// Waits until a job has received more than this number of bytes.
    pub async fn wait_for_bytes(&self, id: &str, more_than: u64) {
        let condition = format!("the job has received more than {more_than} bytes");
        wait_until(&condition, Duration::from_mins(1), async || {
            let received = self.job(id).await["bytes_done"].as_u64();
            (received > Some(more_than)).then_some(())
        })
        .await;
    }

    /// Waits until `/readyz` reports that the program is ready, or that it is not.
    pub async fn wait_until_ready(&self, ready: bool) {
        let what = format!("{} says that it is ready: {ready}", self.name);
        wait_until(&what, START_LIMIT, async || {
            assert!(!self.process.has_ended(), "{} has ended", self.name);
            let answer = self.try_get("/readyz").await.ok()?;
            (answer.status().is_success() == ready).then_some(())
        })
        .await;
    }

    /// Waits until the program is ready.
    pub async fn ready(&self) {
        self.wait_until_ready(true).await;
    }

    /// Sends SIGTERM and waits until the program has ended.
    pub fn stop(self) {
        self.process.stop();
    }

    /// Sends SIGKILL and waits until the program has ended.
    pub fn kill(self) {
        self.process.kill();
    }
}

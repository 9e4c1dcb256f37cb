//! The competitors that are installed from npm: Directus and Uppy Companion. Their installation takes
//! minutes, so they are measured only on request.

use std::{path::PathBuf, process::Command, time::Duration};

use media_testkit::{
    free_address, http_client,
    process::{Launch, Supervised},
    seaweed::{ACCESS_KEY, BUCKET, SECRET_KEY, Seaweed},
    tempdir, wait_until,
};
use reqwest::Client;
use serde_json::json;
use tempfile::TempDir;

/// The longest time until a competitor is ready.
const START_LIMIT: Duration = Duration::from_mins(1);
/// The token of Directus' client.
const TOKEN: &str = "the-token-of-the-benchmark";

/// Returns a path below the directory where `make install-competitors` installs them.
fn installed(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../target/competitors")
        .join(path)
}

/// Returns a launch of an installed program with these variables only.
fn launch(program: &str, arguments: &[&str], variables: &[(String, String)]) -> Launch {
    let launch = Launch::new(
        installed(&format!("node_modules/.bin/{program}")),
        arguments,
    )
    .bare();
    let path = std::env::var("PATH").unwrap_or_default();
    variables
        .iter()
        .fold(launch.variable("PATH", &path), |launch, (name, value)| {
            launch.variable(name, value)
        })
}

fn owned(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
    variables.iter().map(owned).collect()
}

/// Directus on SQLite and a directory.
pub(crate) struct Directus {
    process: Supervised,
    base: String,
    http: Client,
    _directory: TempDir,
}

impl Directus {
    /// Initializes the database and starts Directus.
    pub(crate) async fn start() -> Self {
        let directory = tempdir::create();
        let address = free_address();
        let (host, port) = address.rsplit_once(':').unwrap();
        let at = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        std::fs::create_dir(at("uploads")).unwrap();
        let variables = owned(&[
            ("HOST", host),
            ("PORT", port),
            ("DB_CLIENT", "sqlite3"),
            ("DB_FILENAME", &at("data.db")),
            ("STORAGE_LOCATIONS", "local"),
            ("STORAGE_LOCAL_ROOT", &at("uploads")),
            ("EXTENSIONS_PATH", &at("extensions")),
            ("SECRET", "the-secret-of-the-benchmark"),
            ("ADMIN_EMAIL", "admin@example.com"),
            ("ADMIN_PASSWORD", "the-password-of-the-benchmark"),
            ("ADMIN_TOKEN", TOKEN),
            ("TELEMETRY", "false"),
            ("LOG_LEVEL", "error"),
            // Directus blocks loopback by default.
            ("IMPORT_IP_DENY_LIST", ""),
        ]);
        let bootstrap = Command::new(installed("node_modules/.bin/directus"))
            .arg("bootstrap")
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(variables.clone())
            .output()
            .unwrap_or_else(|error| {
                panic!("directus: {error}; `make install-competitors` installs it")
            });
        assert!(bootstrap.status.success(), "{bootstrap:?}");
        let directus = Self {
            process: launch("directus", &["start"], &variables).start(),
            base: format!("http://{address}"),
            http: http_client(),
            _directory: directory,
        };
        wait_until("Directus listens", START_LIMIT, async || {
            let ping = format!("{}/server/ping", directus.base);
            directus.http.get(ping).send().await.ok()
        })
        .await;
        directus
    }

    pub(crate) async fn import(&self, url: &str) {
        let request = self.http.post(format!("{}/files/import", self.base));
        let request = request.bearer_auth(TOKEN).json(&json!({ "url": url }));
        let answer = request.send().await.unwrap();
        let status = answer.status();
        assert!(status.is_success(), "{status}: {:?}", answer.text().await);
        let _ = answer.bytes().await;
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

/// Uppy Companion with S3.
pub(crate) struct Companion {
    process: Supervised,
    base: String,
    _directory: TempDir,
}

impl Companion {
    pub(crate) async fn start(seaweed: &Seaweed) -> Self {
        let directory = tempdir::create();
        let address = free_address();
        let (_, port) = address.rsplit_once(':').unwrap();
        let variables = owned(&[
            ("COMPANION_PORT", port),
            ("COMPANION_DOMAIN", &address),
            ("COMPANION_PROTOCOL", "http"),
            ("COMPANION_DATADIR", directory.path().to_str().unwrap()),
            ("COMPANION_SECRET", "the-secret-of-the-benchmark"),
            ("COMPANION_PREAUTH_SECRET", "another-of-the-benchmark"),
            ("COMPANION_CLIENT_ORIGINS", "http://127.0.0.1"),
            ("COMPANION_UPLOAD_URLS", "http://127.0.0.1"),
            ("COMPANION_ENABLE_URL_ENDPOINT", "true"),
            ("COMPANION_ALLOW_LOCAL_URLS", "true"),
            ("COMPANION_AWS_KEY", ACCESS_KEY),
            ("COMPANION_AWS_SECRET", SECRET_KEY),
            ("COMPANION_AWS_BUCKET", BUCKET),
            ("COMPANION_AWS_REGION", "us-east-1"),
            ("COMPANION_AWS_ENDPOINT", &seaweed.endpoint()),
            ("COMPANION_AWS_FORCE_PATH_STYLE", "true"),
            ("COMPANION_AWS_PREFIX", "theirs/"),
            ("NODE_ENV", "production"),
        ]);
        let companion = Self {
            process: launch("companion", &[], &variables).start(),
            base: format!("http://{address}"),
            _directory: directory,
        };
        let http = http_client();
        wait_until("Companion listens", START_LIMIT, async || {
            http.get(&companion.base).send().await.ok()
        })
        .await;
        companion
    }

    /// Returns the command of a client that imports a URL `count` times, `at_once` at a time.
    pub(crate) fn client(&self, url: &str, count: usize, at_once: usize) -> Command {
        let mut client = Command::new("node");
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("competitors/companion.mjs");
        client
            .current_dir(installed(""))
            .arg(script)
            .args([&self.base, url])
            .args([count, at_once].map(|number| number.to_string()));
        client
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }
}

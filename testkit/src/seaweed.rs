//! SeaweedFS as the object store.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    config::{BehaviorVersion, Credentials, Region, RequestChecksumCalculation},
};
use tempfile::TempDir;
use tokio::sync::Mutex;

use crate::{
    http_client,
    process::{Launch, Supervised},
    tempdir, wait_until,
};

/// The bucket of every server.
pub const BUCKET: &str = "media";
pub const ACCESS_KEY: &str = "testkey";
pub const SECRET_KEY: &str = "testsecret";

/// A SeaweedFS server, which can be stopped and started again with the same data.
pub struct Seaweed {
    // Dropped before the directory is removed.
    process: Option<Supervised>,
    ports: [u16; 5],
    directory: TempDir,
}

impl Seaweed {
    /// Starts a server with an empty bucket.
    pub async fn start() -> Self {
        let mut seaweed = Self {
            ports: [(); 5].map(|()| port_with_twin()),
            directory: tempdir::create(),
            process: None,
        };
        seaweed.restart().await;
        seaweed
    }

    /// Returns the URL of the S3 endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.ports[0])
    }

    /// Returns the variables by which the AWS SDK finds the server.
    pub fn variables(&self) -> [(&'static str, String); 4] {
        [
            ("AWS_ENDPOINT_URL_S3", self.endpoint()),
            ("AWS_REGION", "us-east-1".to_owned()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", SECRET_KEY.to_owned()),
        ]
    }

    /// Starts the server again after [`Seaweed::stop`], with its data.
    pub async fn restart(&mut self) {
        let [s3, master, volume, filer, admin] = self.ports;
        let flags = [
            "mini".to_owned(),
            format!("-dir={}", self.directory.path().display()),
            "-ip=127.0.0.1".to_owned(),
            "-ip.bind=127.0.0.1".to_owned(),
            "-master.telemetry=false".to_owned(),
            "-admin.ui=false".to_owned(),
            "-webdav=false".to_owned(),
            format!("-s3.port={s3}"),
            "-s3.port.iceberg=0".to_owned(),
            "-s3.port.lance=0".to_owned(),
            format!("-master.port={master}"),
            format!("-volume.port={volume}"),
            format!("-filer.port={filer}"),
            format!("-admin.port={admin}"),
            format!("-bucket={BUCKET}"),
        ];
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        self.process = Some(
            Launch::new(program(), &flags)
                .directory(self.directory.path())
                .log(&self.directory.path().join("log"))
                .variable("AWS_ACCESS_KEY_ID", ACCESS_KEY)
                .variable("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
                .variable("GOMEMLIMIT", "512MiB")
                .start(),
        );
        let client = self.client();
        wait_until("SeaweedFS serves", Duration::from_mins(1), async || {
            // The server accepts requests before it has created the bucket.
            let listed = client.list_objects_v2().bucket(BUCKET).max_keys(1);
            listed.send().await.ok()
        })
        .await;
    }

    /// Returns a client that ignores the environment.
    pub fn client(&self) -> Client {
        Self::client_at(&self.endpoint())
    }

    /// Returns a client of an endpoint, such as a proxy in front of a server. It adds no checksums.
    pub fn client_at(endpoint: &str) -> Client {
        let credentials = Credentials::new(ACCESS_KEY, SECRET_KEY, None, None, "testkit");
        let configuration = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .region(Region::from_static("us-east-1"))
            .credentials_provider(credentials)
            .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
            .endpoint_url(endpoint)
            .force_path_style(true)
            .build();
        Client::from_conf(configuration)
    }

    /// Returns the keys of all objects with a prefix, and their sizes in bytes.
    pub async fn objects(&self, prefix: &str) -> Vec<(String, u64)> {
        let mut pages = self
            .client()
            .list_objects_v2()
            .bucket(BUCKET)
            .prefix(prefix)
            .into_paginator()
            .send();
        let mut objects = Vec::new();
        while let Some(page) = pages.next().await {
            for object in page.unwrap().contents() {
                let size = object.size().unwrap_or_default().unsigned_abs();
                objects.push((object.key().unwrap().to_owned(), size));
            }
        }
        objects
    }

    pub async fn object(&self, key: &str) -> Vec<u8> {
        let object = self.client().get_object().bucket(BUCKET).key(key);
        let body = object.send().await.unwrap().body;
        body.collect().await.unwrap().to_vec()
    }

    /// Returns the keys of all multipart uploads with a prefix that are neither completed nor aborted.
    pub async fn open_uploads(&self, prefix: &str) -> Vec<String> {
        let page = self
            .client()
            .list_multipart_uploads()
            .bucket(BUCKET)
            .prefix(prefix)
            .send()
            .await
            .unwrap();
        let uploads = page.uploads().iter();
        uploads
            .map(|upload| upload.key().unwrap().to_owned())
            .collect()
    }

    /// Aborts all multipart uploads with a prefix.
    pub async fn abort_uploads(&self, prefix: &str) {
        let client = self.client();
        let listed = client
            .list_multipart_uploads()
            .bucket(BUCKET)
            .prefix(prefix);
        for upload in listed.send().await.unwrap().uploads() {
            client
                .abort_multipart_upload()
                .bucket(BUCKET)
                .set_key(upload.key().map(str::to_owned))
                .set_upload_id(upload.upload_id().map(str::to_owned))
                .send()
                .await
                .unwrap();
        }
    }

    /// Returns the keys of all objects and multipart uploads with a prefix.
    pub async fn leftovers(&self, prefix: &str) -> Vec<String> {
        let objects = self.objects(prefix).await.into_iter().map(|(key, _)| key);
        let uploads = self.open_uploads(prefix).await;
        objects.chain(uploads).collect()
    }

    /// Frees the disk space of deleted objects, which the server does rarely by itself.
    pub async fn vacuum(&self) {
        let master = format!("http://127.0.0.1:{}", self.ports[1]);
        let asked = http_client().get(format!("{master}/vol/vacuum?garbageThreshold=0.01"));
        let answer = asked.send().await.unwrap();
        assert!(answer.status().is_success(), "{answer:?}");
    }

    /// Sends SIGTERM and waits until the server has ended.
    pub fn stop(&mut self) {
        if let Some(process) = self.process.take() {
            process.stop();
        }
    }
}

/// Returns the server that all tests of this process share; each uses a prefix of its own.
pub async fn shared() -> &'static Seaweed {
    static SERVER: OnceLock<Seaweed> = OnceLock::new();
    static STARTING: Mutex<()> = Mutex::const_new(());
    let _one_at_a_time = STARTING.lock().await;
    if SERVER.get().is_none() {
        let _ = SERVER.set(Seaweed::start().await);
    }
    SERVER.get().expect("just started")
}

/// Returns a free port whose gRPC port, which is 10,000 higher, is free as well.
fn port_with_twin() -> u16 {
    const DISTANCE: u16 = 10_000;
    let is_free = |port: u16| std::net::TcpListener::bind(("127.0.0.1", port)).is_ok();
    loop {
        let port = rand::random_range(11_000..21_000);
        if is_free(port) && is_free(port + DISTANCE) {
            return port;
        }
    }
}

/// Returns the path where `make install` puts the program.
fn program() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/clients/python/bin/weed")
}

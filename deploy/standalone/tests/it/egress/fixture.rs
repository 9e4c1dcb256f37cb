//! A service in a closed network with origins, names and honeypots.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
};

use media_testkit::{
    closed_network::{OTHER_V4, PUBLIC_V4, PUBLIC_V6, UNREACHABLE_V4},
    dns::{Answer, NameServer},
    honeypot::Honeypots,
    origin::{Authority, FaultyOrigin},
    service::{Installation, Service, unique},
};
use serde_json::{Value, json};

use super::addresses::NETWORKS;
use crate::fixture::MEDIA;

/// Names with fixed addresses.
const NAMES: [(&str, &[&str]); 14] = [
    ("public.test", &[PUBLIC_V4]),
    ("other.test", &[OTHER_V4]),
    ("public-v6.test", &[PUBLIC_V6]),
    ("unreachable.test", &[UNREACHABLE_V4]),
    ("localhost", &["127.0.0.1", "::1"]),
    ("app.localhost", &["127.0.0.1"]),
    ("inside.test", &["10.0.0.5"]),
    ("inside-v6.test", &["fd00:ec2::254"]),
    ("inside-both.test", &["10.0.0.5", "fd00:ec2::254"]),
    ("inside-first.test", &["10.0.0.5", PUBLIC_V4]),
    ("inside-last.test", &[PUBLIC_V4, "10.0.0.5"]),
    ("inside-in-v6.test", &[PUBLIC_V4, "fd00:ec2::254"]),
    ("inside-in-v4.test", &["10.0.0.5", PUBLIC_V6]),
    (
        "inside-or-unreachable.test",
        &["10.0.0.5", UNREACHABLE_V4, "fd00:ec2::254"],
    ),
];

/// A closed network with a service in it.
pub(super) struct Fixture {
    pub(super) honeypots: Honeypots,
    pub(super) names: NameServer,
    pub(super) service: Service,
    // Kept until the test ends.
    _installation: Installation,
    _origins: Vec<FaultyOrigin>,
    _authority: Authority,
}

/// Returns a socket address.
pub(super) fn at(address: &str, port: u16) -> SocketAddr {
    SocketAddr::new(address.parse().unwrap(), port)
}

impl Fixture {
    /// Starts everything; the service gets these variables.
    pub(super) async fn start(variables: &[(&str, &str)]) -> Self {
        let (honeypots, names) = (Honeypots::listen(), NameServer::start(names()).await);
        let authority = Authority::generate();
        let origins = [
            FaultyOrigin::start_at(at(PUBLIC_V4, 80)),
            FaultyOrigin::start_at(at(PUBLIC_V4, 8080)),
            FaultyOrigin::start_at(at(PUBLIC_V6, 80)),
            FaultyOrigin::start_at(at(OTHER_V4, 80)),
            authority.origin_at(at(PUBLIC_V4, 443), "public.test"),
        ];
        let installation = Installation::new(MEDIA)
            .with("MEDIA_EGRESS_ALLOW", "")
            .with("MEDIA_WORKER_CONCURRENCY", "64")
            .with("SSL_CERT_FILE", authority.file().to_str().unwrap());
        let installation = variables
            .iter()
            .fold(installation, |installation, (name, value)| {
                installation.with(name, value)
            });
        Self {
            honeypots,
            names,
            service: installation.serve().await,
            _installation: installation,
            _origins: origins.into(),
            _authority: authority,
        }
    }

    /// Imports a URL without retries, to a resource of its own.
    pub(super) async fn import(&self, url: &str) -> Value {
        self.service.import(url, &unique("egress"), None).await
    }

    /// Imports a URL without retries, until the job has ended or is scheduled again.
    async fn attempt(&self, url: &str) -> Value {
        let arguments = json!({ "url": url, "resource": unique("egress") });
        // Without retries, because names of internal addresses fail with an error that is usually retried.
        let job = self
            .service
            .create_job(&arguments, json!({ "max_retries": 0 }));
        let job = job.await;
        let ends = ["succeeded", "failed", "scheduled"];
        let id = job["id"].as_str().unwrap();
        self.service.wait_for(id, &ends).await
    }

    /// Checks that an import fails with a code without a retry and without a connection to a honeypot.
    /// Returns the detail of the error.
    pub(super) async fn refused(&self, url: &str, code: &str) -> String {
        let cases = [(url.to_owned(), code)];
        self.all_refused(&cases).await.remove(0)
    }

    /// Does the same for many imports concurrently.
    pub(super) async fn all_refused(&self, cases: &[(String, &str)]) -> Vec<String> {
        let attempts = cases.iter().map(|(url, _)| self.attempt(url));
        let jobs = futures_util::future::join_all(attempts).await;
        self.honeypots.assert_untouched();
        let outcomes = cases.iter().zip(&jobs);
        outcomes
            .map(|((url, code), job)| detail_of(url, code, job))
            .collect()
    }

    /// Imports a URL successfully and returns the bytes.
    pub(super) async fn imported(&self, url: &str) -> String {
        let arguments = json!({ "url": url, "resource": unique("egress") });
        self.imported_with(&arguments).await
    }

    /// Imports with these arguments successfully and returns the bytes.
    pub(super) async fn imported_with(&self, arguments: &Value) -> String {
        let job = self
            .service
            .create_job(arguments, json!({ "max_retries": 0 }));
        self.finished(&job.await).await
    }

    /// Waits until a job has succeeded and returns the bytes of its media.
    pub(super) async fn finished(&self, job: &Value) -> String {
        let id = job["id"].as_str().unwrap();
        let job = self.service.wait_for(id, &["succeeded", "failed"]).await;
        assert_eq!(job["attributes"]["status"], "succeeded", "{job}");
        let resource = &job["attributes"]["arguments"]["resource"];
        let path = format!("/medias/files/{}", resource.as_str().unwrap());
        self.service.get(&path).await.text().await.unwrap()
    }
}

/// Checks that a job has failed with a code and without a retry, and returns the detail of the error.
fn detail_of(url: &str, code: &str, job: &Value) -> String {
    let attributes = &job["attributes"];
    assert_eq!(attributes["error"], code, "{url}: {job}");
    assert_eq!(attributes["status"], "failed", "{url}: {job}");
    assert_eq!(attributes["retry_count"], 0, "{url}: {job}");
    attributes["error_detail"].as_str().unwrap().to_owned()
}

/// Returns the name of the nth address in [`NETWORKS`].
pub(super) fn name_of_network(n: usize) -> String {
    format!("network-{n}.test")
}

/// Returns all names with their answers.
fn names() -> HashMap<String, Answer> {
    let fixed = NAMES.map(|(name, all)| (name.to_owned(), Answer::Addresses(addresses(all))));
    let networks = NETWORKS.iter().enumerate().map(|(n, address)| {
        let answer = Answer::Addresses(addresses(&[address]));
        (name_of_network(n), answer)
    });
    let alias = |target: &str| Answer::Alias(target.to_owned());
    let in_turn = |first, then| Answer::InTurn(vec![addresses(&[first]), addresses(&[then])]);
    let others = [
        ("alias.test", alias("inside.test")),
        ("long-alias.test", alias("alias.test")),
        ("turns-inward.test", in_turn(PUBLIC_V4, "10.0.0.5")),
        (
            "turns-inward-on-redirect.test",
            in_turn(PUBLIC_V4, "10.0.0.5"),
        ),
        ("turns-outward.test", in_turn("10.0.0.5", PUBLIC_V4)),
    ];
    let others = others.map(|(name, answer)| (name.to_owned(), answer));
    fixed.into_iter().chain(networks).chain(others).collect()
}

fn addresses(all: &[&str]) -> Vec<IpAddr> {
    all.iter().map(|address| address.parse().unwrap()).collect()
}

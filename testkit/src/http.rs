//! HTTP clients for servers on loopback.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// Returns an HTTP client that follows no redirects and uses no proxy.
pub fn http_client() -> reqwest::Client {
    http_client_builder().build().unwrap()
}

/// Returns the builder of [`http_client`], for further options.
pub fn http_client_builder() -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .tls_backend_preconfigured(tls_without_authorities())
}

/// Returns a TLS configuration that trusts no authority: the servers under test speak plain HTTP.
fn tls_without_authorities() -> ClientConfig {
    ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

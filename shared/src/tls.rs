//! How an HTTP client knows whom it talks to.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore, crypto::ring};

/// TLS 1.2 and 1.3 with the system's certificate authorities, or Mozilla's where the system has
/// none (a bare container).
pub fn client_config() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    if roots.is_empty() {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

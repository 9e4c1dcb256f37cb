//! The trusted certificate authorities of all outgoing connections: to origins, the object store, JWKS endpoints, trace
//! collectors and Redis. PostgreSQL uses `sslrootcert` in its URL instead.
//!
//! The authorities of the system are trusted, unless `SSL_CERT_FILE` or `SSL_CERT_DIR` replaces them. If there are none
//! (in a minimal container), Mozilla's are trusted. Those in `AWS_CA_BUNDLE` are always added. This crate does not
//! depend on the service.

use std::{env, path::PathBuf, sync::Arc};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::ring,
    pki_types::{CertificateDer, pem::PemObject as _},
};

/// The variables of OpenSSL that replace the authorities of the system.
const REPLACING_VARIABLES: [&str; 2] = ["SSL_CERT_FILE", "SSL_CERT_DIR"];
/// The variable of the AWS SDKs that adds authorities.
const ADDING_VARIABLE: &str = "AWS_CA_BUNDLE";

/// A failure to set up TLS or to read the trusted authorities.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// The files of a variable contain no usable certificates.
    #[error("{variable} cannot be used: {reason}")]
    Certificates {
        /// The variable.
        variable: &'static str,
        /// The reason, without a full stop.
        reason: String,
    },
    /// TLS could not be set up.
    #[error("TLS could not be set up")]
    Tls(#[from] rustls::Error),
}

/// Builds the configuration of a TLS 1.2 and 1.3 client that trusts these authorities.
pub fn client_config() -> Result<ClientConfig, TrustError> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(authorities()?);
    Ok(
        ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth(),
    )
}

/// Returns the trusted authorities as PEM (RFC 7468), for clients with their own TLS configuration.
pub fn authorities_as_pem() -> Result<Vec<u8>, TrustError> {
    let mut pem = String::new();
    for certificate in authorities()? {
        pem.push_str("-----BEGIN CERTIFICATE-----\n");
        let text = STANDARD.encode(&certificate);
        for line in text.as_bytes().chunks(64) {
            pem.push_str(&String::from_utf8_lossy(line));
            pem.push('\n');
        }
        pem.push_str("-----END CERTIFICATE-----\n");
    }
    Ok(pem.into_bytes())
}

fn authorities() -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let system = rustls_native_certs::load_native_certs();
    let mut trusted: Vec<_> = system.certs.into_iter().filter(is_usable).collect();
    if trusted.is_empty()
        && let Some(variable) = REPLACING_VARIABLES
            .into_iter()
            .find(|name| path_in(name).is_some())
    {
        let reason = match system.errors.first() {
            Some(error) => error.to_string(),
            None => "it contains no certificate".to_owned(),
        };
        return Err(TrustError::Certificates { variable, reason });
    }
    if trusted.is_empty() {
        trusted.extend(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    trusted.extend(additional_authorities()?);
    Ok(trusted)
}

/// The authorities in `AWS_CA_BUNDLE`.
fn additional_authorities() -> Result<Vec<CertificateDer<'static>>, TrustError> {
    let Some(path) = path_in(ADDING_VARIABLE) else {
        return Ok(Vec::new());
    };
    let refused = |reason: String| TrustError::Certificates {
        variable: ADDING_VARIABLE,
        reason,
    };
    let pem = std::fs::read(&path).map_err(|error| refused(error.to_string()))?;
    let read: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = read.map_err(|error| refused(error.to_string()))?;
    if certificates.is_empty() || !certificates.iter().all(is_usable) {
        return Err(refused(
            "it contains no certificate, or an invalid one".to_owned(),
        ));
    }
    Ok(certificates)
}

fn path_in(variable: &str) -> Option<PathBuf> {
    let path = env::var_os(variable).filter(|path| !path.is_empty());
    path.map(PathBuf::from)
}

fn is_usable(certificate: &CertificateDer<'static>) -> bool {
    RootCertStore::empty().add(certificate.clone()).is_ok()
}

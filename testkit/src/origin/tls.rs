//! Origins that speak TLS, correctly or not.

use std::{net::SocketAddr, path::Path, sync::Arc};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use tempfile::NamedTempFile;
use tokio::{io::copy_bidirectional, net::TcpStream};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivatePkcs8KeyDer},
    },
};

use super::{
    faulty_origin::{FaultyOrigin, answer},
    server::{Server, until_closed},
};
use crate::closed_network;

/// The TLS behaviour of an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tls {
    Good,
    /// A self-signed certificate for another name.
    SelfSigned,
    /// A certificate of the authority for another name.
    OtherName,
    /// An expired certificate of the authority.
    Expired,
    /// Negotiates HTTP/2 only; to be used with the path `http2`.
    Http2Only,
    /// Accepts the connection and sends nothing.
    Silent,
}

/// A TLS proxy in front of a server without TLS.
pub struct TlsFront(Server);

impl TlsFront {
    pub fn address(&self) -> SocketAddr {
        self.0.address
    }
}

/// A certificate authority. Programs trust it if `SSL_CERT_FILE` is the path of [`Authority::file`].
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    file: NamedTempFile,
}

impl Authority {
    pub fn generate() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params
            .distinguished_name
            .push(DnType::CommonName, "Authority of the tests");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let file = NamedTempFile::new().unwrap();
        std::fs::write(&file, certificate.pem()).unwrap();
        Self {
            issuer: Issuer::new(params, key),
            file,
        }
    }

    /// Returns the file with the certificate of the authority.
    pub fn file(&self) -> &Path {
        self.file.path()
    }

    /// Starts an origin that knows the paths of [`FaultyOrigin::url`].
    pub async fn origin(&self, tls: Tls) -> FaultyOrigin {
        let server = if tls == Tls::Silent {
            Server::start(until_closed).await
        } else {
            let acceptor = TlsAcceptor::from(Arc::new(self.server_config(tls, "127.0.0.1")));
            Server::start(move |stream| {
                let handshake = acceptor.accept(stream);
                async { answer(handshake.await?).await }
            })
            .await
        };
        FaultyOrigin::over_https(server)
    }

    /// Starts an origin for a host name on an address of a closed network.
    pub fn origin_at(&self, address: SocketAddr, name: &str) -> FaultyOrigin {
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config(Tls::Good, name)));
        let listener = closed_network::listen(address);
        let server = Server::accept_from(listener, move |stream| {
            let handshake = acceptor.accept(stream);
            async { answer(handshake.await?).await }
        });
        FaultyOrigin::over_https(server)
    }

    /// Starts a TLS proxy in front of a port of this machine.
    pub async fn front(&self, port: u16) -> TlsFront {
        let acceptor = TlsAcceptor::from(Arc::new(self.server_config(Tls::Good, "127.0.0.1")));
        TlsFront(
            Server::start(move |stream| {
                let handshake = acceptor.accept(stream);
                async move {
                    let mut client = handshake.await?;
                    let mut server = TcpStream::connect(("127.0.0.1", port)).await?;
                    copy_bidirectional(&mut client, &mut server).await?;
                    Ok(())
                }
            })
            .await,
        )
    }

    fn server_config(&self, tls: Tls, name: &str) -> ServerConfig {
        let (certificate, key) = self.certificate(tls, name);
        let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key.into())
            .unwrap();
        if tls == Tls::Http2Only {
            config.alpn_protocols = vec![b"h2".into()];
        }
        config
    }

    fn certificate(
        &self,
        tls: Tls,
        name: &str,
    ) -> (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>) {
        let name = match tls {
            Tls::SelfSigned | Tls::OtherName => "elsewhere.test",
            _ => name,
        };
        let mut params = CertificateParams::new([name.to_owned()]).unwrap();
        if tls == Tls::Expired {
            params.not_before = date_time_ymd(2000, 1, 1);
            params.not_after = date_time_ymd(2001, 1, 1);
        }
        let key = KeyPair::generate().unwrap();
        let certificate = if tls == Tls::SelfSigned {
            params.self_signed(&key)
        } else {
            params.signed_by(&key, &self.issuer)
        };
        (certificate.unwrap().into(), key.serialize_der().into())
    }
}

//! TLS in front of an origin.

use std::{net::SocketAddr, sync::Arc};

use rustls::{
    ServerConfig,
    crypto::ring,
    pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer},
};
use tokio::{
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::closed_network;

/// A running origin that speaks TLS, with a certificate that nobody trusts yet.
pub struct TlsOrigin {
    certificate: String,
    accepting: JoinHandle<()>,
}

impl TlsOrigin {
    /// Starts an origin for a name, on an address; what it is asked for, it asks `behind` for.
    pub fn start_at(address: SocketAddr, name: &str, behind: SocketAddr) -> Self {
        let own = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
        let certificate = own.cert.pem();
        let acceptor = acceptor(&own);
        let listener = closed_network::listen(address);
        let accepting = tokio::spawn(accept_all(listener, acceptor, behind));
        Self {
            certificate,
            accepting,
        }
    }

    /// The certificate, in PEM.
    pub fn certificate(&self) -> &str {
        &self.certificate
    }
}

impl Drop for TlsOrigin {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

fn acceptor(own: &rcgen::CertifiedKey<rcgen::KeyPair>) -> TlsAcceptor {
    let key = PrivatePkcs8KeyDer::from(own.signing_key.serialize_der());
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.cert.der().clone()], PrivateKeyDer::from(key))
        .unwrap();
    Arc::new(config).into()
}

async fn accept_all(listener: TcpListener, acceptor: TlsAcceptor, behind: SocketAddr) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(pass_on(stream, acceptor.clone(), behind));
    }
}

async fn pass_on(
    stream: TcpStream,
    acceptor: TlsAcceptor,
    behind: SocketAddr,
) -> std::io::Result<()> {
    let mut client = acceptor.accept(stream).await?;
    let mut origin = TcpStream::connect(behind).await?;
    tokio::io::copy_bidirectional(&mut client, &mut origin).await?;
    Ok(())
}

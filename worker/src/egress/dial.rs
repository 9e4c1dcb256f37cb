//! Connects to the hosts of URLs: the only place that opens connections on a user's behalf.

use std::{
    collections::VecDeque,
    io,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use futures_util::{StreamExt as _, stream::FuturesUnordered};
use tokio::{net::TcpStream, time::sleep};
use url::{Host, Url};

use super::{
    address_policy::{EgressDenied, EgressGate},
    resolver::NameResolver,
};

/// Delay before the next address is tried as well (the recommended value of RFC 8305 §5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// Maximum number of addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Connects to the hosts of URLs. A name is resolved once, and only addresses that pass the gate are dialled.
#[derive(Clone)]
pub struct Dialer {
    gate: EgressGate,
    resolver: Arc<dyn NameResolver>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The gate refused the URL or address.
    #[error(transparent)]
    Denied(#[from] EgressDenied),
    /// The name does not resolve, or to forbidden addresses only. The two are not distinguished: otherwise
    /// a client would learn which names exist inside the operator's network.
    #[error("the name has no address that may be reached")]
    Unresolved(#[source] io::Error),
    /// No address accepted the connection.
    #[error("no address accepted the connection")]
    Refused(#[source] io::Error),
}

impl Dialer {
    /// Creates a dialler that connects through a gate.
    pub fn new(gate: EgressGate, resolver: Arc<dyn NameResolver>) -> Self {
        Self { gate, resolver }
    }

    /// Returns the gate.
    pub fn gate(&self) -> &EgressGate {
        &self.gate
    }

    /// Connects to the host and port of a URL. The caller sets the timeout.
    pub async fn dial(&self, url: &Url) -> Result<TcpStream, DialError> {
        self.gate.check_url(url)?;
        let addresses = self.addresses(url).await?;
        self.connect_first(addresses).await
    }

    /// Connects to the address that accepts first (RFC 8305): each is tried when the previous one has failed
    /// or has not answered within [`ATTEMPT_DELAY`].
    async fn connect_first(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, DialError> {
        let mut waiting: VecDeque<_> = interleaved(addresses).into();
        let mut attempts = FuturesUnordered::new();
        let mut refused = io::Error::from(io::ErrorKind::NotFound);
        loop {
            if let Some(address) = waiting.pop_front() {
                attempts.push(self.connect(address));
            }
            let delayed = async {
                if waiting.is_empty() {
                    std::future::pending::<()>().await;
                }
                sleep(ATTEMPT_DELAY).await;
            };
            tokio::select! {
                attempt = attempts.next() => match attempt {
                    Some(Ok(stream)) => return Ok(stream),
                    Some(Err(DialError::Refused(error))) => refused = error,
                    Some(Err(error)) => return Err(error),
                    None => return Err(DialError::Refused(refused)),
                },
                () = delayed => {}
            }
        }
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, DialError> {
        // Checked here so that nothing comes between the check and the connection.
        self.gate.check_address(address)?;
        #[allow(clippy::disallowed_methods, reason = "this is the gate")]
        let stream = TcpStream::connect(address)
            .await
            .map_err(DialError::Refused)?;
        stream.set_nodelay(true).map_err(DialError::Refused)?;
        Ok(stream)
    }

    /// Resolves the addresses that may be dialled; an error if there is none.
    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, DialError> {
        let port = url.port_or_known_default().ok_or(EgressDenied::NoHost)?;
        let name = match url.host().ok_or(EgressDenied::NoHost)? {
            Host::Ipv4(ip) => return Ok(vec![(ip, port).into()]),
            Host::Ipv6(ip) => return Ok(vec![(ip, port).into()]),
            Host::Domain(name) => name,
        };
        let found = self.resolver.resolve(name).await;
        let mut refused_port = false;
        let mut allowed = Vec::new();
        for ip in found.map_err(DialError::Unresolved)? {
            let address = SocketAddr::new(ip, port);
            match self.gate.check_address(address) {
                Ok(()) => allowed.push(address),
                Err(EgressDenied::Port) => refused_port = true,
                // Logged for the operator; the client must not learn it.
                Err(denied) => tracing::info!(name, %denied, "an address of a name is refused"),
            }
        }
        match (allowed.is_empty(), refused_port) {
            (false, _) => Ok(allowed),
            // The address is on the public internet, so this reveals nothing about the inside.
            (true, true) => Err(EgressDenied::Port.into()),
            (true, false) => Err(DialError::Unresolved(io::ErrorKind::NotFound.into())),
        }
    }
}

/// Orders addresses as the resolver did, but alternates the address families (RFC 8305 §4).
fn interleaved(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_v6 = |address: &SocketAddr| matches!(address.ip(), IpAddr::V6(_));
    let first_is_v6 = addresses.first().is_some_and(is_v6);
    let (first, second): (Vec<_>, Vec<_>) = addresses
        .into_iter()
        .partition(|address| is_v6(address) == first_is_v6);
    let mut order = Vec::new();
    let (mut first, mut second) = (first.into_iter(), second.into_iter());
    loop {
        let turn = [first.next(), second.next()];
        if turn == [None, None] {
            break;
        }
        order.extend(turn.into_iter().flatten());
    }
    order.truncate(MAX_ADDRESSES);
    order
}

// Tests connect to listeners of their own.
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests {
    use media_shared::config::EgressConfig;
    use tokio::{
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    use super::*;

    #[test]
    fn address_families_alternate() {
        let of = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>();
        let given = of(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let order = of(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(interleaved(given), order);
        assert_eq!(interleaved(Vec::new()), []);
    }

    /// Resolves every name to these addresses.
    struct Fixed(Vec<IpAddr>);

    #[async_trait::async_trait]
    impl NameResolver for Fixed {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    /// Opens a listener with a full backlog: packets of further connections are dropped.
    async fn unresponsive(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
        let socket = TcpSocket::new_v4().unwrap();
        socket.bind(address).unwrap();
        let listener = socket.listen(1).unwrap();
        let mut filling = Vec::new();
        while let Ok(stream) = timeout(FILL_TIMEOUT, TcpStream::connect(address)).await {
            filling.push(stream.unwrap());
        }
        (listener, filling)
    }

    const FILL_TIMEOUT: Duration = Duration::from_millis(500);
    /// The default timeout of a connection.
    const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn four_unresponsive_addresses_do_not_keep_the_fifth_from_being_used() {
        let good = TcpListener::bind("127.0.0.9:0").await.unwrap();
        let port = good.local_addr().unwrap().port();
        let ips: Vec<IpAddr> = [2, 3, 4, 5].map(|n| IpAddr::from([127, 0, 0, n])).to_vec();
        let addresses = ips.iter().map(|ip| SocketAddr::new(*ip, port));
        let _unresponsive = futures_util::future::join_all(addresses.map(unresponsive)).await;
        let gate = EgressGate::new(&EgressConfig {
            allow: vec!["127.0.0.0/8".parse().unwrap()],
            ..EgressConfig::default()
        });
        let all = [ips, vec![good.local_addr().unwrap().ip()]].concat();
        let dialer = Dialer::new(gate, Arc::new(Fixed(all)));
        let url = Url::parse(&format!("http://origin.test:{port}/")).unwrap();
        let stream = timeout(DIAL_TIMEOUT, dialer.dial(&url)).await.unwrap();
        assert_eq!(
            stream.unwrap().peer_addr().unwrap(),
            good.local_addr().unwrap()
        );
    }
}

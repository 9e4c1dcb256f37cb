//! The only place where this program connects on a user's behalf.

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

use super::{EgressDenied, EgressGate, NameResolver};

/// The time after which the next address is tried as well (RFC 8305 §5, the recommended value).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);
/// The most addresses of one name that are tried.
const MAX_ADDRESSES: usize = 16;

/// Connects to the hosts of URLs, through the gate: a name is resolved once, and only those of its
/// addresses are dialled that may be.
#[derive(Clone)]
pub struct Dialer {
    gate: EgressGate,
    resolver: Arc<dyn NameResolver>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The gate said no.
    #[error(transparent)]
    Denied(#[from] EgressDenied),
    /// The name has no address that may be dialled. Which of the two it is, is not told: otherwise a
    /// client would learn which names exist inside the operator's network.
    #[error("the name has no address that may be reached")]
    Unresolved(#[source] io::Error),
    /// No address took the connection.
    #[error("no address took the connection")]
    Refused(#[source] io::Error),
}

impl Dialer {
    /// A dialler behind a gate.
    pub fn new(gate: EgressGate, resolver: Arc<dyn NameResolver>) -> Self {
        Self { gate, resolver }
    }

    /// The gate.
    pub fn gate(&self) -> &EgressGate {
        &self.gate
    }

    /// Connects to the host and port of a URL. The caller limits the time.
    pub async fn dial(&self, url: &Url) -> Result<TcpStream, DialError> {
        self.gate.judge_url(url)?;
        let addresses = self.addresses(url).await?;
        self.connect_first(addresses).await
    }

    /// Connects to the address that takes the connection first (RFC 8305): each is tried when the one
    /// before it has failed, or has not answered for a moment.
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
        // Here, where nothing can come between the verdict and the connection.
        self.gate.judge(address)?;
        #[allow(clippy::disallowed_methods, reason = "the one place for it")]
        let stream = TcpStream::connect(address)
            .await
            .map_err(DialError::Refused)?;
        stream.set_nodelay(true).map_err(DialError::Refused)?;
        Ok(stream)
    }

    /// The addresses that may be dialled. If none may, that is the error.
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
            match self.gate.judge(address) {
                Ok(()) => allowed.push(address),
                Err(EgressDenied::Port) => refused_port = true,
                // For the operator; the client learns nothing of it.
                Err(verdict) => tracing::info!(name, %verdict, "an address of a name is refused"),
            }
        }
        match (allowed.is_empty(), refused_port) {
            (false, _) => Ok(allowed),
            // The address is on the public internet, so this tells nothing of what is inside.
            (true, true) => Err(EgressDenied::Port.into()),
            (true, false) => Err(DialError::Unresolved(io::ErrorKind::NotFound.into())),
        }
    }
}

/// Addresses in the order of the resolver, but with the families taking turns (RFC 8305 §4).
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
    use media_services::config::EgressConfig;
    use tokio::{
        net::{TcpListener, TcpSocket},
        time::timeout,
    };

    use super::*;

    #[test]
    fn families_take_turns() {
        let of = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<_>>();
        let given = of(&["[::1]:1", "[::2]:1", "[::3]:1", "1.1.1.1:1", "1.1.1.2:1"]);
        let order = of(&["[::1]:1", "1.1.1.1:1", "[::2]:1", "1.1.1.2:1", "[::3]:1"]);
        assert_eq!(interleaved(given), order);
        assert_eq!(interleaved(Vec::new()), []);
    }

    /// Answers with these addresses, whatever the name.
    struct Fixed(Vec<IpAddr>);

    #[async_trait::async_trait]
    impl NameResolver for Fixed {
        async fn resolve(&self, _: &str) -> io::Result<Vec<IpAddr>> {
            Ok(self.0.clone())
        }
    }

    /// A listener that takes no more connections, nor refuses any: their packets are dropped.
    async fn dead(address: SocketAddr) -> (TcpListener, Vec<TcpStream>) {
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
    /// As long as an import waits for a connection by default.
    const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

    #[tokio::test]
    async fn four_dead_addresses_keep_nobody_from_the_fifth() {
        let good = TcpListener::bind("127.0.0.9:0").await.unwrap();
        let port = good.local_addr().unwrap().port();
        let ips: Vec<IpAddr> = [2, 3, 4, 5].map(|n| IpAddr::from([127, 0, 0, n])).to_vec();
        let addresses = ips.iter().map(|ip| SocketAddr::new(*ip, port));
        let _dead = futures_util::future::join_all(addresses.map(dead)).await;
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

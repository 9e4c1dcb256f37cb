//! Decides where this program may connect on a user's behalf: to the public internet, on the usual
//! ports, and to the networks that the operator listed. Every URL is judged before a request, and
//! every address before it is dialled.

use std::{fmt, io, net::IpAddr, sync::Arc};

use ipnet::IpNet;
use media_shared::config::EgressConfig;
use url::{Host, Url};

pub mod networks;
pub mod resolver;

pub use resolver::{NameResolver, SystemResolver};

/// The gate: the operator's lists, and the verdict on every address and port.
#[derive(Clone, Debug)]
pub struct EgressGate {
    allow: Arc<[IpNet]>,
    ports: Arc<[u16]>,
}

/// Why a connection is refused. Names no address that DNS gave: that would tell the client what
/// lies inside the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressDenied {
    /// The address is in a network that is not the public internet.
    Address(&'static str),
    /// The port is not one of the usual ones, and the network not one that the operator listed.
    Port,
    /// The scheme is neither http nor https.
    Scheme,
    /// The URL names no host.
    NoHost,
}

impl fmt::Display for EgressDenied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(network) => write!(
                f,
                "its address is not on the public internet ({network}); the operator can allow networks with MEDIA_EGRESS_ALLOW"
            ),
            Self::Port => write!(
                f,
                "its port may not be used on the public internet; the operator can allow ports with MEDIA_EGRESS_PORTS"
            ),
            Self::Scheme => write!(f, "only http and https may be used"),
            Self::NoHost => write!(f, "it names no host"),
        }
    }
}

impl std::error::Error for EgressDenied {}

/// Which ports a connection is for. The resolver learns a name only, never the port, so each class
/// of ports has a client with a resolver of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortClass {
    /// A port that may be used on the public internet.
    Public,
    /// Any other: the operator's networks only.
    ListedNetworksOnly,
}

impl EgressGate {
    /// A gate with the operator's lists.
    pub fn new(config: &EgressConfig) -> Self {
        Self {
            allow: config.allow.clone().into(),
            ports: config.ports.clone().into(),
        }
    }

    /// Judges a URL before a request is sent: its scheme, its port, and its address if the host is
    /// one, in any spelling, as `Url` has already read it.
    pub fn judge_url(&self, url: &Url) -> Result<PortClass, EgressDenied> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressDenied::Scheme);
        }
        let port = url.port_or_known_default().ok_or(EgressDenied::NoHost)?;
        let class = self.class_of(port);
        match url.host().ok_or(EgressDenied::NoHost)? {
            Host::Ipv4(address) => self.judge(address.into(), class)?,
            Host::Ipv6(address) => self.judge(address.into(), class)?,
            // Whether any of its addresses is allowed is judged when they are known; with no listed
            // network, no name can lead to an unusual port.
            Host::Domain(_) if class == PortClass::ListedNetworksOnly && self.allow.is_empty() => {
                return Err(EgressDenied::Port);
            }
            Host::Domain(_) => {}
        }
        Ok(class)
    }

    /// Judges an address that is about to be dialled.
    pub fn judge(&self, address: IpAddr, class: PortClass) -> Result<(), EgressDenied> {
        let address = address.to_canonical();
        if self.allow.iter().any(|network| network.contains(&address)) {
            return Ok(());
        }
        match networks::special_network(address) {
            Some(name) => Err(EgressDenied::Address(name)),
            None if class == PortClass::ListedNetworksOnly => Err(EgressDenied::Port),
            None => Ok(()),
        }
    }

    fn class_of(&self, port: u16) -> PortClass {
        if self.ports.contains(&port) {
            PortClass::Public
        } else {
            PortClass::ListedNetworksOnly
        }
    }
}

/// Resolves a name and lets through only the addresses that may be dialled. If none may, that is
/// the error; the name's other addresses are never tried.
pub(crate) async fn resolve_allowed(
    gate: &EgressGate,
    resolver: &dyn NameResolver,
    class: PortClass,
    name: &str,
) -> Result<Vec<IpAddr>, ResolveError> {
    let addresses = resolver
        .resolve(name)
        .await
        .map_err(ResolveError::Unresolved)?;
    let mut denied = None;
    let mut allowed = Vec::new();
    for address in addresses {
        match gate.judge(address, class) {
            Ok(()) => allowed.push(address),
            Err(verdict) => denied = Some(verdict),
        }
    }
    match (allowed.is_empty(), denied) {
        (false, _) => Ok(allowed),
        (true, Some(verdict)) => Err(ResolveError::Denied(verdict)),
        (true, None) => Err(ResolveError::Unresolved(io::ErrorKind::NotFound.into())),
    }
}

/// Why a name led to no address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ResolveError {
    /// It has none.
    #[error("the name did not resolve")]
    Unresolved(#[source] io::Error),
    /// It has none that may be dialled.
    #[error(transparent)]
    Denied(EgressDenied),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gate(allow: &[&str]) -> EgressGate {
        EgressGate::new(&EgressConfig {
            allow: allow.iter().map(|n| n.parse().unwrap()).collect(),
            ports: vec![80, 443],
        })
    }

    fn verdict(gate: &EgressGate, url: &str) -> Result<PortClass, EgressDenied> {
        gate.judge_url(&Url::parse(url).unwrap())
    }

    #[test]
    fn no_spelling_of_a_private_address_passes() {
        let gate = gate(&[]);
        for url in [
            "http://127.0.0.1/",
            "http://127.1/",
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0177.0.0.1/",
            "http://127.0.0.1./",
            "http://0/",
            "http://0.0.0.0/",
            "http://[::1]/",
            "http://[::]/",
            "http://[::ffff:127.0.0.1]/",
            "http://[::127.0.0.1]/",
            "http://[64:ff9b::7f00:1]/",
            "http://[2002:7f00:1::]/",
            "http://[fe80::1]/",
            "http://[fd00:ec2::254]/",
            "http://10.0.0.1/",
            "http://172.16.0.1/",
            "http://192.168.0.1/",
            "http://169.254.169.254/",
            "http://100.64.0.1/",
            "http://198.18.0.1/",
            "http://192.0.0.1/",
            "http://240.0.0.1/",
            "http://224.0.0.1/",
            "http://255.255.255.255/",
            "http://①②⑦.0.0.1/",
            "https://127.0.0.2/",
        ] {
            assert!(
                matches!(verdict(&gate, url), Err(EgressDenied::Address(_))),
                "{url}: {:?}",
                verdict(&gate, url)
            );
        }
    }

    #[test]
    fn the_public_internet_passes_on_the_usual_ports() {
        let gate = gate(&[]);
        for url in [
            "http://1.1.1.1/",
            "https://8.8.8.8/",
            "https://[2606:4700:4700::1111]/",
            "http://example.test/",
            "http://[64:ff9b::808:808]/",
        ] {
            assert_eq!(verdict(&gate, url), Ok(PortClass::Public), "{url}");
        }
        assert_eq!(
            verdict(&gate, "http://1.1.1.1:22/"),
            Err(EgressDenied::Port)
        );
        assert_eq!(
            verdict(&gate, "http://example.test:6379/"),
            Err(EgressDenied::Port)
        );
        assert_eq!(
            verdict(&gate, "ftp://example.test/"),
            Err(EgressDenied::Scheme)
        );
        assert_eq!(
            verdict(&gate, "file:///etc/passwd"),
            Err(EgressDenied::Scheme)
        );
    }

    #[test]
    fn a_listed_network_passes_on_any_port_and_nothing_beside_it() {
        let gate = gate(&["127.0.0.1/32", "fd00:1::/64"]);
        assert!(verdict(&gate, "http://127.0.0.1:9999/").is_ok());
        assert!(verdict(&gate, "http://[::ffff:127.0.0.1]:9999/").is_ok());
        assert!(verdict(&gate, "http://[fd00:1::5]/").is_ok());
        assert!(verdict(&gate, "http://127.0.0.2/").is_err());
        assert!(verdict(&gate, "http://[fd00:2::5]/").is_err());
        assert!(verdict(&gate, "http://8.8.8.8:22/").is_err());
        let other = gate.judge("8.8.8.8".parse().unwrap(), PortClass::ListedNetworksOnly);
        assert!(other.is_err());
    }
}

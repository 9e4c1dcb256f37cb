//! Decides which URLs and addresses may be reached on a user's behalf: the public internet on the configured
//! ports, and the networks that the operator allows.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use media_services::config::EgressConfig;
use url::{Host, Url};

use super::reserved_networks;

/// The operator's lists, and the checks of URLs and addresses against them.
#[derive(Clone, Debug)]
pub struct EgressGate(Arc<EgressConfig>);

/// Why a connection is refused. Contains no address that came from DNS: that would reveal the inside of
/// the operator's network to the client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressDenied {
    /// The address is in this kind of network, which is not the public internet.
    #[error(
        "its address is not on the public internet ({0}); the operator can allow networks with MEDIA_EGRESS_ALLOW"
    )]
    Address(&'static str),
    /// The address is in a network that the operator denies.
    #[error("the operator denies its network")]
    DeniedAddress,
    /// The operator denies the host, or allows only others.
    #[error(
        "the operator does not allow imports from its host (MEDIA_EGRESS_ALLOW_HOSTS, MEDIA_EGRESS_DENY_HOSTS)"
    )]
    Host,
    /// The port is not a configured one, and the network is not on the operator's list.
    #[error(
        "its port is not allowed on the public internet; the operator can allow ports with MEDIA_EGRESS_PORTS"
    )]
    Port,
    /// The scheme is neither http nor https.
    #[error("only http and https are supported")]
    Scheme,
    /// The URL has no host.
    #[error("it has no host")]
    NoHost,
}

impl EgressGate {
    /// Creates a gate from the operator's lists.
    pub fn new(config: &EgressConfig) -> Self {
        let canonical = |networks: &[IpNet]| {
            networks
                .iter()
                .map(|n| reserved_networks::canonical(*n))
                .collect()
        };
        Self(Arc::new(EgressConfig {
            allow: canonical(&config.allow),
            deny: canonical(&config.deny),
            ..config.clone()
        }))
    }

    /// Checks a URL before a request: its scheme, host and port, and its address if the host is an IP
    /// address in any spelling. The addresses of a name are checked when it has been resolved.
    pub fn check_url(&self, url: &Url) -> Result<(), EgressDenied> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressDenied::Scheme);
        }
        let port = url.port_or_known_default().ok_or(EgressDenied::NoHost)?;
        match url.host().ok_or(EgressDenied::NoHost)? {
            Host::Ipv4(address) => self.check_literal(SocketAddr::from((address, port))),
            Host::Ipv6(address) => self.check_literal(SocketAddr::from((address, port))),
            Host::Domain(name) => self.check_name(name, port),
        }
    }

    /// Checks an address that is about to be dialled.
    pub fn check_address(&self, address: SocketAddr) -> Result<(), EgressDenied> {
        let ip = address.ip().to_canonical();
        let inner = reserved_networks::embedded_v4(ip, &self.0.nat64);
        let denies = |ip: &IpAddr| self.0.deny.iter().any(|network| network.contains(ip));
        if denies(&ip) || inner.iter().any(denies) {
            return Err(EgressDenied::DeniedAddress);
        }
        if self.is_listed(ip) {
            // Allowing a translator's network does not allow the addresses behind it.
            let mut behind = inner.iter().filter(|inner| !self.is_listed(**inner));
            return match behind.find_map(|inner| special(*inner)) {
                Some(name) => Err(EgressDenied::Address(name)),
                None => Ok(()),
            };
        }
        // RFC 6052 §3.1: a NAT64 prefix leads to addresses of the public internet.
        let outer = Some(ip).filter(|ip| !reserved_networks::is_translated(*ip, &self.0.nat64));
        match inner.into_iter().chain(outer).find_map(special) {
            Some(name) => Err(EgressDenied::Address(name)),
            None if self.0.ports.contains(&address.port()) => Ok(()),
            None => Err(EgressDenied::Port),
        }
    }

    /// Whether a redirect may lead from https to http.
    pub fn allows_downgrade(&self) -> bool {
        self.0.downgrade
    }

    /// An address in a URL has to be an allowed host as well, unless its network is allowed.
    fn check_literal(&self, address: SocketAddr) -> Result<(), EgressDenied> {
        self.check_address(address)?;
        let ip = address.ip().to_canonical();
        let host = match ip {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("[{ip}]"),
        };
        let listed = self.is_listed(ip) || self.0.allow_hosts.covers(&host);
        if listed && !self.denies_host(&host) {
            Ok(())
        } else {
            Err(EgressDenied::Host)
        }
    }

    fn check_name(&self, name: &str, port: u16) -> Result<(), EgressDenied> {
        if self.denies_host(name) || !self.0.allow_hosts.covers(name) {
            return Err(EgressDenied::Host);
        }
        // Without an allowed network, no address of any name may be dialled on another port.
        if self.0.allow.is_empty() && !self.0.ports.contains(&port) {
            return Err(EgressDenied::Port);
        }
        Ok(())
    }

    /// Whether the operator allows the network of an address. Metadata services of clouds have to be listed
    /// as single addresses: larger networks are allowed for other reasons.
    fn is_listed(&self, ip: IpAddr) -> bool {
        let alone = reserved_networks::is_cloud_service(ip);
        let lists = |network: &IpNet| {
            network.contains(&ip) && (!alone || network.prefix_len() == network.max_prefix_len())
        };
        self.0.allow.iter().any(lists)
    }

    fn denies_host(&self, host: &str) -> bool {
        self.0.deny_hosts.iter().any(|suffix| suffix.covers(host))
    }
}

/// Returns the kind of network that an address is in, if it is not the public internet.
fn special(ip: IpAddr) -> Option<&'static str> {
    if reserved_networks::is_cloud_service(ip) {
        return Some("cloud platform");
    }
    reserved_networks::special_network(ip)
}

#[cfg(test)]
mod tests;

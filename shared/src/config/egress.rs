//! Where imports may connect to.

use std::str::FromStr;

use ipnet::{IpNet, Ipv6Net};
use url::Host;

use super::{
    Settings,
    check::{Checker, list, truth},
};

/// Where imports may connect to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EgressConfig {
    /// Networks beside the public internet, on any port.
    pub allow: Vec<IpNet>,
    /// Networks that are never reached.
    pub deny: Vec<IpNet>,
    /// NAT64 prefixes of this network beside the well-known one.
    pub nat64: Vec<Ipv6Net>,
    /// Ports on the public internet.
    pub ports: Vec<u16>,
    /// Hosts that may be imported from.
    pub allow_hosts: HostList,
    /// Hosts that may not be imported from.
    pub deny_hosts: Vec<HostSuffix>,
    /// Whether redirects from https to http are followed.
    pub downgrade: bool,
}

/// A list of hosts. An empty one has none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostList {
    /// Every host.
    #[default]
    Any,
    /// These, and all below them.
    Only(Vec<HostSuffix>),
}

impl HostList {
    /// Whether a host is on the list.
    pub fn covers(&self, host: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Only(listed) => listed.iter().any(|suffix| suffix.covers(host)),
        }
    }
}

/// A host, with all below it: `example.org` covers `example.org` and `a.b.example.org`. An address
/// covers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSuffix(String);

impl HostSuffix {
    /// Whether a host, as it stands in a URL, is this one or below it.
    pub fn covers(&self, host: &str) -> bool {
        let host = host.trim_end_matches('.');
        match host.strip_suffix(&self.0) {
            Some(rest) => rest.is_empty() || rest.ends_with('.'),
            None => false,
        }
    }
}

impl FromStr for HostSuffix {
    type Err = url::ParseError;

    /// Reads a host as URLs are read: lower case, IDNA, any spelling of an address.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.strip_prefix("*.").unwrap_or(text);
        if text.contains('*') {
            return Err(url::ParseError::InvalidDomainCharacter);
        }
        let host = Host::parse(text)?.to_string();
        let host = host.strip_suffix('.').unwrap_or(&host);
        Ok(Self(host.to_owned()))
    }
}

/// Checks the settings.
pub(super) fn check(settings: &Settings, checker: &mut Checker) -> Option<EgressConfig> {
    const NETWORK: &str = "a network such as 10.1.0.0/16";
    const HOST: &str = "a host such as example.org";
    let allow = checker.keep("MEDIA_EGRESS_ALLOW", list(&settings.egress_allow, NETWORK));
    let deny = checker.keep("MEDIA_EGRESS_DENY", list(&settings.egress_deny, NETWORK));
    let nat64 = checker.keep("MEDIA_EGRESS_NAT64", nat64(&settings.egress_nat64));
    let ports = checker.keep(
        "MEDIA_EGRESS_PORTS",
        list(&settings.egress_ports, "a port number"),
    );
    let allow_hosts = if settings.egress_allow_hosts.trim() == "*" {
        Some(HostList::Any)
    } else {
        let listed = list(&settings.egress_allow_hosts, HOST).map(HostList::Only);
        checker.keep("MEDIA_EGRESS_ALLOW_HOSTS", listed)
    };
    let deny_hosts = checker.keep(
        "MEDIA_EGRESS_DENY_HOSTS",
        list(&settings.egress_deny_hosts, HOST),
    );
    let downgrade = checker.keep("MEDIA_EGRESS_DOWNGRADE", truth(&settings.egress_downgrade));
    Some(EgressConfig {
        allow: allow?,
        deny: deny?,
        nat64: nat64?,
        ports: ports?,
        allow_hosts: allow_hosts?,
        deny_hosts: deny_hosts?,
        downgrade: downgrade?,
    })
}

/// Prefixes that an IPv4 address can follow (RFC 6052 §2.2).
fn nat64(text: &str) -> Result<Vec<Ipv6Net>, String> {
    const PREFIX: &str =
        "a NAT64 prefix such as 2001:db8:64::/96, of 32, 40, 48, 56, 64 or 96 bits";
    let prefixes: Vec<Ipv6Net> = list(text, PREFIX)?;
    let fits = |prefix: &Ipv6Net| matches!(prefix.prefix_len(), 32 | 40 | 48 | 56 | 64 | 96);
    if prefixes.iter().all(fits) {
        Ok(prefixes)
    } else {
        Err(format!("must hold {PREFIX}"))
    }
}

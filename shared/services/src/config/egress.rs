//! The egress rules: the addresses and hosts that imports may reach.

use std::str::FromStr;

use clap::Args;
use ipnet::{IpNet, Ipv6Net};
use url::Host;

use super::checker::{Checker, list, parse_bool};

/// The settings as text.
#[derive(Args, Clone)]
pub struct EgressSettings {
    /// Networks that may be reached beside the public internet, on any port: CIDRs, comma-separated. Metadata
    /// services of clouds in them stay closed unless listed by their addresses
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_ALLOW",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub egress_allow: String,

    /// Ports that may be reached on the public internet, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_PORTS",
        value_name = "PORT,…",
        default_value = "80,443,8080,8443"
    )]
    pub egress_ports: String,

    /// Networks that are never reached, whatever else is allowed: CIDRs, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_DENY",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub egress_deny: String,

    /// NAT64 prefixes of this network beside 64:ff9b::/96: CIDRs, comma-separated. Addresses behind them are checked
    /// as the IPv4 addresses that they contain
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_NAT64",
        value_name = "CIDR,…",
        default_value = ""
    )]
    pub egress_nat64: String,

    /// Hosts that may be imported from, each with its subdomains, comma-separated: * for any; an empty list allows
    /// none. Addresses in URLs have to be listed as well
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_ALLOW_HOSTS",
        value_name = "HOST,…",
        default_value = "*"
    )]
    pub egress_allow_hosts: String,

    /// Hosts that may not be imported from, each with its subdomains, comma-separated
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_DENY_HOSTS",
        value_name = "HOST,…",
        default_value = ""
    )]
    pub egress_deny_hosts: String,

    /// Whether redirects from https to http are followed: true or false
    #[arg(
        long,
        global = true,
        env = "MEDIA_EGRESS_DOWNGRADE",
        value_name = "BOOL",
        default_value = "false"
    )]
    pub egress_downgrade: String,
}

/// The addresses and hosts that imports may reach.
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

/// A list of hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum HostList {
    /// Every host.
    #[default]
    Any,
    /// These, with their subdomains.
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

/// A host with its subdomains: `example.org` covers `example.org` and `a.b.example.org`. An address covers itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostSuffix(String);

impl HostSuffix {
    /// Whether a host, as in a URL, is this one or a subdomain.
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

    /// Reads a host as in a URL: lower case, IDNA, any spelling of an address.
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

impl EgressSettings {
    pub(super) fn check(&self, checker: &mut Checker) -> Option<EgressConfig> {
        const NETWORK: &str = "a network such as 10.1.0.0/16";
        const HOST: &str = "a host such as example.org";
        let allow = checker.record("MEDIA_EGRESS_ALLOW", list(&self.egress_allow, NETWORK));
        let deny = checker.record("MEDIA_EGRESS_DENY", list(&self.egress_deny, NETWORK));
        let nat64 = checker.record("MEDIA_EGRESS_NAT64", nat64(&self.egress_nat64));
        let ports = checker.record(
            "MEDIA_EGRESS_PORTS",
            list(&self.egress_ports, "a port number"),
        );
        let allow_hosts = if self.egress_allow_hosts.trim() == "*" {
            Some(HostList::Any)
        } else {
            let listed = list(&self.egress_allow_hosts, HOST).map(HostList::Only);
            checker.record("MEDIA_EGRESS_ALLOW_HOSTS", listed)
        };
        let deny_hosts = checker.record(
            "MEDIA_EGRESS_DENY_HOSTS",
            list(&self.egress_deny_hosts, HOST),
        );
        let downgrade =
            checker.record("MEDIA_EGRESS_DOWNGRADE", parse_bool(&self.egress_downgrade));
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

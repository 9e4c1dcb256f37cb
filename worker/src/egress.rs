//! Decides where this program may connect on a user's behalf: to the public internet, on the usual
//! ports, and to the networks that the operator listed. Every URL is judged before a request, and
//! every address when it is dialled, which happens nowhere but in [`Dialer`].

use std::{
    fmt,
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use ipnet::IpNet;
use media_services::config::EgressConfig;
use url::{Host, Url};

mod dial;
pub mod networks;
pub mod resolver;

pub use dial::{DialError, Dialer};
pub use resolver::{NameResolver, SystemResolver};

/// The gate: the operator's lists, and the verdict on every URL and address.
#[derive(Clone, Debug)]
pub struct EgressGate(Arc<EgressConfig>);

/// Why a connection is refused. Names no address that DNS gave: that would tell the client what
/// lies inside the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EgressDenied {
    /// The address is in a network that is not the public internet.
    Address(&'static str),
    /// The address is in a network that the operator denied.
    DeniedAddress,
    /// The host is one that the operator denied, or none of those that the operator listed.
    Host,
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
            Self::DeniedAddress => write!(f, "the operator denies its network"),
            Self::Host => write!(
                f,
                "its host is not one that the operator lets imports come from (MEDIA_EGRESS_ALLOW_HOSTS, MEDIA_EGRESS_DENY_HOSTS)"
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

impl EgressGate {
    /// A gate with the operator's lists.
    pub fn new(config: &EgressConfig) -> Self {
        let canonical =
            |networks: &[IpNet]| networks.iter().map(|n| networks::canonical(*n)).collect();
        Self(Arc::new(EgressConfig {
            allow: canonical(&config.allow),
            deny: canonical(&config.deny),
            ..config.clone()
        }))
    }

    /// Judges a URL before anything is done about it: its scheme, its host, its port, and its
    /// address if the host is one, in any spelling, as `Url` has already read it. Names are judged
    /// again when they have become addresses.
    pub fn judge_url(&self, url: &Url) -> Result<(), EgressDenied> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(EgressDenied::Scheme);
        }
        let port = url.port_or_known_default().ok_or(EgressDenied::NoHost)?;
        match url.host().ok_or(EgressDenied::NoHost)? {
            Host::Ipv4(address) => self.judge_literal(SocketAddr::from((address, port))),
            Host::Ipv6(address) => self.judge_literal(SocketAddr::from((address, port))),
            Host::Domain(name) => self.judge_name(name, port),
        }
    }

    /// Judges an address that is about to be dialled.
    pub fn judge(&self, address: SocketAddr) -> Result<(), EgressDenied> {
        let ip = address.ip().to_canonical();
        let inner = networks::embedded_v4(ip, &self.0.nat64);
        let denies = |ip: &IpAddr| self.0.deny.iter().any(|network| network.contains(ip));
        if denies(&ip) || inner.iter().any(denies) {
            return Err(EgressDenied::DeniedAddress);
        }
        if self.is_listed(ip) {
            // To list a network that leads to others is not to list those.
            let mut beyond = inner.iter().filter(|inner| !self.is_listed(**inner));
            return match beyond.find_map(|inner| special(*inner)) {
                Some(name) => Err(EgressDenied::Address(name)),
                None => Ok(()),
            };
        }
        // RFC 6052 §3.1: behind a prefix of NAT64 are addresses of the public internet.
        let outer = Some(ip).filter(|ip| !networks::is_translated(*ip, &self.0.nat64));
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

    /// An address in a URL has to be on the list of hosts as well, unless its network is listed.
    fn judge_literal(&self, address: SocketAddr) -> Result<(), EgressDenied> {
        self.judge(address)?;
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

    fn judge_name(&self, name: &str, port: u16) -> Result<(), EgressDenied> {
        if self.denies_host(name) || !self.0.allow_hosts.covers(name) {
            return Err(EgressDenied::Host);
        }
        // With no listed network, no address of any name can be dialled on an unusual port.
        if self.0.allow.is_empty() && !self.0.ports.contains(&port) {
            return Err(EgressDenied::Port);
        }
        Ok(())
    }

    /// Whether the operator allows the network of an address. Services of clouds have to be listed by
    /// themselves: networks that contain them are listed for other reasons.
    fn is_listed(&self, ip: IpAddr) -> bool {
        let alone = networks::is_cloud_service(ip);
        let lists = |network: &IpNet| {
            network.contains(&ip) && (!alone || network.prefix_len() == network.max_prefix_len())
        };
        self.0.allow.iter().any(lists)
    }

    fn denies_host(&self, host: &str) -> bool {
        self.0.deny_hosts.iter().any(|suffix| suffix.covers(host))
    }
}

/// The kind of network that an address is in, if it is not the public internet.
fn special(ip: IpAddr) -> Option<&'static str> {
    if networks::is_cloud_service(ip) {
        return Some("cloud platform");
    }
    networks::special_network(ip)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use media_services::config::HostList;

    use super::*;

    fn gate(allow: &[&str]) -> EgressGate {
        EgressGate::new(&EgressConfig {
            allow: allow.iter().map(|n| n.parse().unwrap()).collect(),
            ports: vec![80, 443],
            ..EgressConfig::default()
        })
    }

    fn verdict(gate: &EgressGate, url: &str) -> Result<(), EgressDenied> {
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
    fn networks_are_what_they_are_however_they_are_written() {
        let of = |allow: &str, deny: &str| {
            EgressGate::new(&EgressConfig {
                allow: vec![allow.parse().unwrap()],
                deny: vec![deny.parse().unwrap()],
                ports: vec![80],
                ..EgressConfig::default()
            })
        };
        let gate = of("::ffff:10.0.0.0/104", "::ffff:10.1.0.0/112");
        assert_eq!(verdict(&gate, "http://10.2.0.1/"), Ok(()));
        assert_eq!(
            verdict(&gate, "http://10.1.0.1/"),
            Err(EgressDenied::DeniedAddress)
        );
        // RFC 8215: what an operator's own NAT64 leads to is not listed with it.
        let gate = of("64:ff9b:1::/48", "192.0.2.0/24");
        assert_eq!(verdict(&gate, "http://[64:ff9b:1::808:808]/"), Ok(()));
        for inside in [
            "64:ff9b:1::a9fe:a9fe",
            "64:ff9b:1::7f00:1",
            "64:ff9b:1::a00:1",
        ] {
            assert!(
                matches!(
                    verdict(&gate, &format!("http://[{inside}]/")),
                    Err(EgressDenied::Address(_))
                ),
                "{inside}"
            );
        }
    }

    #[test]
    fn services_of_clouds_have_to_be_listed_by_themselves() {
        let services = [
            "169.254.169.254",
            "100.100.100.200",
            "192.0.0.192",
            "[fd00:ec2::254]",
            "[fd20:ce::254]",
            "[64:ff9b::a9fe:a9fe]",
            "[::ffff:169.254.169.254]",
            "[64:ff9b:1::a9fe:a9fe]",
            "[64:ff9b:1:a9fe:a9:fe00::]",
        ];
        let wide = [
            "0.0.0.0/1",
            "128.0.0.0/1",
            "fd00::/8",
            "64:ff9b::/32",
            "::/1",
            "8000::/1",
        ];
        for host in services {
            let url = format!("http://{host}/");
            assert!(verdict(&gate(&wide), &url).is_err(), "{host}");
        }
        for (listed, host) in [
            ("169.254.169.254/32", "169.254.169.254"),
            ("fd00:ec2::254/128", "[fd00:ec2::254]"),
        ] {
            assert_eq!(
                verdict(&gate(&[listed]), &format!("http://{host}/")),
                Ok(()),
                "{host}"
            );
        }
        // Beside them, the networks are listed.
        assert_eq!(verdict(&gate(&wide), "http://[fd00:1::1]/"), Ok(()));
    }

    #[test]
    fn a_translated_address_is_what_it_becomes_in_every_list() {
        let gate = |allow: &[&str], deny: &[&str]| {
            let networks = |texts: &[&str]| texts.iter().map(|n| n.parse().unwrap()).collect();
            EgressGate::new(&EgressConfig {
                allow: networks(allow),
                deny: networks(deny),
                nat64: vec![
                    "2001:4860:64::/96".parse().unwrap(),
                    "2001:4860:6440::/40".parse().unwrap(),
                ],
                ports: vec![80],
                ..EgressConfig::default()
            })
        };
        let of = |gate: &EgressGate, host: &str| verdict(gate, &format!("http://{host}/"));
        let inside = "10.1.0.0/16";
        let both = [inside, "64:ff9b::/96", "2001:4860::/32"];
        for host in [
            "[64:ff9b::a01:5]",
            "[2001:4860:64::a01:5]",
            "[2001:4860:640a:100:5::]",
        ] {
            // Both have to be listed: that of the translator and that behind it.
            assert!(of(&gate(&[inside], &[]), host).is_err(), "{host}");
            assert!(of(&gate(&both[1..], &[]), host).is_err(), "{host}");
            assert_eq!(of(&gate(&both, &[]), host), Ok(()), "{host}");
            let denied = gate(&both, &["10.1.0.5/32"]);
            assert_eq!(
                of(&denied, host),
                Err(EgressDenied::DeniedAddress),
                "{host}"
            );
        }
        for host in [
            "[64:ff9b::a02:5]",
            "[2001:4860:64::a02:5]",
            "[2001:4860:647f:0:1::]",
        ] {
            assert!(of(&gate(&both, &[]), host).is_err(), "{host}");
        }
        assert_eq!(of(&gate(&[], &[]), "[2001:4860:64::808:808]"), Ok(()));
        // RFC 8215, with prefixes of other lengths than 96.
        let listed = gate(&["64:ff9b:1::/48"], &[]);
        for host in [
            "64:ff9b:1:7f00:0:100::",
            "64:ff9b:1:a:0:100::",
            "64:ff9b:1:0:a:0:100::",
        ] {
            assert!(
                verdict(&listed, &format!("http://[{host}]/")).is_err(),
                "{host}"
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
            assert_eq!(verdict(&gate, url), Ok(()), "{url}");
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
        assert_eq!(
            gate.judge("8.8.8.8:22".parse().unwrap()),
            Err(EgressDenied::Port)
        );
    }

    #[test]
    fn what_the_operator_denies_is_denied_whatever_else_is_allowed() {
        let gate = EgressGate::new(&EgressConfig {
            allow: vec!["10.0.0.0/8".parse().unwrap()],
            deny: vec![
                "10.1.0.0/16".parse().unwrap(),
                "8.8.8.0/24".parse().unwrap(),
            ],
            ports: vec![80],
            ..EgressConfig::default()
        });
        assert_eq!(verdict(&gate, "http://10.0.0.1/"), Ok(()));
        for url in [
            "http://10.1.2.3/",
            "http://[::ffff:10.1.2.3]/",
            "http://8.8.8.8/",
            "http://[64:ff9b::808:808]/",
        ] {
            assert_eq!(
                verdict(&gate, url),
                Err(EgressDenied::DeniedAddress),
                "{url}"
            );
        }
    }

    #[test]
    fn hosts_are_judged_by_their_suffix_and_an_empty_list_takes_none() {
        let gate = |allow: HostList, deny: &[&str]| {
            EgressGate::new(&EgressConfig {
                allow: vec!["127.0.0.1/32".parse().unwrap()],
                ports: vec![80],
                allow_hosts: allow,
                deny_hosts: deny.iter().map(|s| s.parse().unwrap()).collect(),
                ..EgressConfig::default()
            })
        };
        let only = HostList::Only(vec!["example.test".parse().unwrap()]);
        let listed = gate(only, &["bad.example.test"]);
        for (url, expected) in [
            ("http://example.test/", Ok(())),
            ("http://a.Example.Test./", Ok(())),
            ("http://127.0.0.1/", Ok(())),
            ("http://notexample.test/", Err(EgressDenied::Host)),
            ("http://bad.example.test/", Err(EgressDenied::Host)),
            ("http://x.bad.example.test/", Err(EgressDenied::Host)),
            ("http://example.test.evil.test/", Err(EgressDenied::Host)),
            ("http://1.1.1.1/", Err(EgressDenied::Host)),
        ] {
            assert_eq!(verdict(&listed, url), expected, "{url}");
        }
        let literals = gate(HostList::Any, &["127.0.0.1", "1.1.1.1"]);
        for url in [
            "http://127.0.0.1/",
            "http://[::ffff:1.1.1.1]/",
            "http://16843009/",
        ] {
            assert_eq!(verdict(&literals, url), Err(EgressDenied::Host), "{url}");
        }
        let nothing = gate(HostList::Only(Vec::new()), &[]);
        assert_eq!(
            verdict(&nothing, "http://example.test/"),
            Err(EgressDenied::Host)
        );
    }

    /// Spellings of an IPv4 address that somebody's parser takes (WHATWG URL, «IPv4 parser»).
    fn spellings(address: Ipv4Addr) -> Vec<String> {
        let [a, b, c, d] = address.octets();
        let whole = u32::from(address);
        vec![
            format!("http://{a}.{b}.{c}.{d}/"),
            format!("http://{a}.{b}.{c}.{d}./"),
            format!("http://{whole}/"),
            format!("http://0x{whole:x}/"),
            format!("http://0X{whole:X}/"),
            format!("http://0{whole:o}/"),
            format!("http://0x{a:x}.0{b:o}.{c}.0x{d:X}/"),
            format!("http://{a}.{}/", whole & 0xff_ffff),
            format!("http://{a}.{b}.{}/", whole & 0xffff),
            // The dots, percent-encoded.
            format!("http://{a}%2E{b}%2e{c}%2E{d}/"),
            format!("http://user:password@{a}.{b}.{c}.{d}:80/"),
            format!("http://public.test@{a}.{b}.{c}.{d}/"),
            format!("http:\\\\{a}.{b}.{c}.{d}\\"),
            format!("https://[::ffff:{a}.{b}.{c}.{d}]/"),
            format!("https://[::{a}.{b}.{c}.{d}]/"),
        ]
    }

    proptest::proptest! {
        #[test]
        fn no_spelling_of_any_special_address_passes(low in 0..0x0100_0000_u32, first in 0..6_usize) {
            const FIRST: [u8; 6] = [0, 10, 127, 224, 240, 255];
            let address = Ipv4Addr::from(u32::from(FIRST[first]) << 24 | low);
            let gate = gate(&[]);
            for text in spellings(address) {
                let url = Url::parse(&text).unwrap();
                proptest::prop_assert!(gate.judge_url(&url).is_err(), "{text}");
            }
        }

        #[test]
        fn whatever_the_url_the_verdict_is_that_of_its_address(text in "[ -~]{0,40}") {
            // No text makes it fail, and none that is an address of this machine passes.
            if let Ok(url) = Url::parse(&format!("http://{text}")) {
                let verdict = gate(&[]).judge_url(&url);
                if let Some(Host::Ipv4(address)) = url.host() {
                    let special = networks::special_network(address.into()).is_some();
                    proptest::prop_assert!(!special || verdict.is_err(), "{url}");
                }
            }
        }
    }
}

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
    gate.check_url(&Url::parse(url).unwrap())
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
fn mapped_and_translated_networks_are_matched_by_their_ipv4_addresses() {
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
    // RFC 8215: allowing an operator's own NAT64 prefix does not allow private networks behind it.
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
fn cloud_metadata_services_have_to_be_allowed_one_by_one() {
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
    // The rest of the networks is allowed.
    assert_eq!(verdict(&gate(&wide), "http://[fd00:1::1]/"), Ok(()));
}

#[test]
fn a_translated_address_is_checked_as_its_ipv4_address_in_every_list() {
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
        // The translator's network and the one behind it both have to be allowed.
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
fn the_public_internet_passes_on_the_configured_ports() {
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
fn an_allowed_network_passes_on_any_port() {
    let gate = gate(&["127.0.0.1/32", "fd00:1::/64"]);
    assert!(verdict(&gate, "http://127.0.0.1:9999/").is_ok());
    assert!(verdict(&gate, "http://[::ffff:127.0.0.1]:9999/").is_ok());
    assert!(verdict(&gate, "http://[fd00:1::5]/").is_ok());
    assert!(verdict(&gate, "http://127.0.0.2/").is_err());
    assert!(verdict(&gate, "http://[fd00:2::5]/").is_err());
    assert!(verdict(&gate, "http://8.8.8.8:22/").is_err());
    assert_eq!(
        gate.check_address("8.8.8.8:22".parse().unwrap()),
        Err(EgressDenied::Port)
    );
}

#[test]
fn denied_networks_are_refused_even_inside_allowed_ones() {
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
fn hosts_are_matched_by_suffix_and_an_empty_list_allows_none() {
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

/// Spellings of an IPv4 address that some parsers accept (WHATWG URL, «IPv4 parser»).
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
        // Percent-encoded dots.
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
            proptest::prop_assert!(gate.check_url(&url).is_err(), "{text}");
        }
    }

    #[test]
    fn no_url_with_a_special_address_passes(text in "[ -~]{0,40}") {
        // Nor does any text make the check panic.
        if let Ok(url) = Url::parse(&format!("http://{text}")) {
            let verdict = gate(&[]).check_url(&url);
            if let Some(Host::Ipv4(address)) = url.host() {
                let special = reserved_networks::special_network(address.into()).is_some();
                proptest::prop_assert!(!special || verdict.is_err(), "{url}");
            }
        }
    }
}

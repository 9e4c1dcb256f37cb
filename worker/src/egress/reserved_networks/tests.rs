use super::*;

#[test]
fn the_first_and_last_address_of_every_network_are_special() {
    for (first, prefix, name) in V4 {
        let last = u32::from(first) | (u32::MAX.checked_shr(prefix).unwrap_or(0));
        for address in [u32::from(first), last] {
            assert_eq!(
                special_v4(address.into()),
                Some(name),
                "{}",
                Ipv4Addr::from(address)
            );
        }
    }
    for public in [
        "9.255.255.255",
        "11.0.0.0",
        "100.63.255.255",
        "100.128.0.0",
        "172.15.255.255",
        "172.32.0.0",
        "192.167.255.255",
        "192.169.0.0",
        "198.17.255.255",
        "198.20.0.0",
        "223.255.255.255",
        "126.255.255.255",
        "128.0.0.0",
    ] {
        assert_eq!(special_network(public.parse().unwrap()), None, "{public}");
    }
}

#[test]
fn an_embedded_address_is_classified_by_itself() {
    for special in [
        "::ffff:10.0.0.1",
        "::10.0.0.1",
        "64:ff9b::a00:1",
        "2002:a00:1::",
        "2001:0:1:1:1:1:f5ff:fffe",
        "2606:4700::5efe:a00:1",
        "64:ff9b:1::808:808",
    ] {
        assert!(
            special_network(special.parse().unwrap()).is_some(),
            "{special}"
        );
    }
    assert_eq!(special_network("64:ff9b::808:808".parse().unwrap()), None);
}

#[test]
fn translated_addresses_are_found_behind_prefixes_of_any_length() {
    // RFC 6052 §2.4.
    for (text, length) in [
        ("2001:db8:c000:221::", 32),
        ("2001:db8:1c0:2:21::", 40),
        ("2001:db8:122:c000:2:2100::", 48),
        ("2001:db8:122:3c0:0:221::", 56),
        ("2001:db8:122:344:c0:2:2100::", 64),
        ("2001:db8:122:344::192.0.2.33", 96),
    ] {
        let found = translated(text.parse().unwrap(), length);
        assert_eq!(found, Ipv4Addr::new(192, 0, 2, 33), "{text}");
    }
}

#[test]
fn only_global_unicast_is_public_in_ipv6() {
    for special in [
        "::",
        "::1",
        "100::1",
        "5f00::1",
        "fc00::1",
        "fdff::1",
        "fe80::1",
        "fec0::1",
        "ff02::1",
        "2001:db8::1",
        "2001:2::1",
        "3fff::1",
        "4000::1",
    ] {
        assert!(
            special_network(special.parse().unwrap()).is_some(),
            "{special}"
        );
    }
    for public in [
        "2606:4700:4700::1111",
        "2a00:1450::1",
        "2001:4860:4860::8888",
    ] {
        assert_eq!(special_network(public.parse().unwrap()), None, "{public}");
    }
}

/// Networks that are not globally reachable by the IANA registries of special addresses (read 2025), and
/// multicast (RFC 5771, RFC 4291 §2.7). Written down independently of the tables under test.
const REGISTERED: [&str; 44] = [
    "0.0.0.0/8",
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.0.0.0/24",
    "192.0.2.0/24",
    "192.31.196.0/24",
    "192.52.193.0/24",
    "192.88.99.0/24",
    "192.168.0.0/16",
    "192.175.48.0/24",
    "198.18.0.0/15",
    "198.51.100.0/24",
    "203.0.113.0/24",
    "224.0.0.0/4",
    "240.0.0.0/4",
    "255.255.255.255/32",
    "::/128",
    "::1/128",
    "::ffff:127.0.0.0/104",
    "::ffff:10.0.0.0/104",
    "64:ff9b::7f00:0/104",
    "64:ff9b:1::/48",
    "100::/64",
    "100:0:0:1::/64",
    "2001::/23",
    "2001::/32",
    "2001:1::/127",
    "2001:2::/48",
    "2001:10::/28",
    "2001:20::/28",
    "2001:30::/28",
    "2001:db8::/32",
    "2002::/16",
    "2620:4f:8000::/48",
    "3fff::/20",
    "5f00::/16",
    "fc00::/7",
    "fe80::/10",
    "fec0::/10",
    "ff00::/8",
    "4000::/3",
];

fn in_network(network: &str, random: u128) -> IpAddr {
    match network.parse::<ipnet::IpNet>().unwrap() {
        ipnet::IpNet::V4(network) => {
            let low = u32::try_from(random & u128::from(u32::MAX)).unwrap();
            let host = low & u32::from(network.hostmask());
            Ipv4Addr::from(u32::from(network.network()) | host).into()
        }
        ipnet::IpNet::V6(network) => {
            let host = random & u128::from(network.hostmask());
            Ipv6Addr::from(u128::from(network.network()) | host).into()
        }
    }
}

/// Every IPv6 address that embeds an IPv4 address.
fn embeddings(address: Ipv4Addr, random: u128) -> [Ipv6Addr; 6] {
    let inner = u128::from(u32::from(address));
    let noise = random >> 96;
    [
        Ipv6Addr::from(0xffff << 32 | inner),
        Ipv6Addr::from(inner),
        Ipv6Addr::from(0x64_ff9b << 96 | inner),
        Ipv6Addr::from(0x2002 << 112 | inner << 80 | noise),
        Ipv6Addr::from(0x2001_0000 << 96 | noise << 40 | (!inner & 0xffff_ffff)),
        Ipv6Addr::from(0x2606_4700 << 96 | 0x5efe << 32 | inner),
    ]
}

proptest::proptest! {
    #[test]
    fn registered_networks_are_special(index in 0..REGISTERED.len(), random: u128) {
        let address = in_network(REGISTERED[index], random);
        proptest::prop_assert!(special_network(address.to_canonical()).is_some(), "{address}");
    }

    #[test]
    fn embedding_does_not_make_a_special_address_public(index in 0..19_usize, random: u128) {
        let IpAddr::V4(address) = in_network(REGISTERED[index], random) else { return Ok(()) };
        for embedding in embeddings(address, random) {
            let found = special_network(IpAddr::V6(embedding).to_canonical());
            proptest::prop_assert!(found.is_some(), "{address} as {embedding}");
        }
    }

    #[test]
    fn unregistered_addresses_are_public(random: u32) {
        let address = Ipv4Addr::from(random);
        let listed = REGISTERED[..19]
            .iter()
            .any(|network| network.parse::<ipnet::Ipv4Net>().unwrap().contains(&address));
        let cloud = address == Ipv4Addr::new(168, 63, 129, 16);
        proptest::prop_assert_eq!(special_v4(address).is_some(), listed || cloud);
    }
}

//! The networks that are not the public internet: the IANA special-purpose address registries
//! (RFC 6890 and its successors), multicast and what is reserved.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// The special network that an address lies in, or nothing if it is an ordinary public address. An
/// IPv4 address inside an IPv6 one is judged by the inner address.
pub fn special_network(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// First address, prefix length, name.
pub type Network<A> = (A, u32, &'static str);

/// Special networks of IPv4.
pub const V4: [Network<Ipv4Addr>; 19] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared address space"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // In no registry, but the same inside of every Azure machine.
    (Ipv4Addr::new(168, 63, 129, 16), 32, "cloud platform"),
    (Ipv4Addr::new(169, 254, 0, 0), 16, "link-local"),
    (Ipv4Addr::new(172, 16, 0, 0), 12, "private"),
    (Ipv4Addr::new(192, 0, 0, 0), 24, "protocol assignments"),
    (Ipv4Addr::new(192, 0, 2, 0), 24, "documentation"),
    (Ipv4Addr::new(192, 31, 196, 0), 24, "AS112"),
    (Ipv4Addr::new(192, 52, 193, 0), 24, "AMT relays"),
    (Ipv4Addr::new(192, 88, 99, 0), 24, "6to4 relays"),
    (Ipv4Addr::new(192, 168, 0, 0), 16, "private"),
    (Ipv4Addr::new(192, 175, 48, 0), 24, "AS112"),
    (Ipv4Addr::new(198, 18, 0, 0), 15, "benchmarking"),
    (Ipv4Addr::new(198, 51, 100, 0), 24, "documentation"),
    (Ipv4Addr::new(203, 0, 113, 0), 24, "documentation"),
    (Ipv4Addr::new(224, 0, 0, 0), 4, "multicast"),
    (Ipv4Addr::new(240, 0, 0, 0), 4, "reserved"),
];

/// Special networks within 2000::/3; all that lies outside it is special anyway.
pub const V6: [Network<Ipv6Addr>; 4] = [
    (
        Ipv6Addr::new(0x2001, 0, 0, 0, 0, 0, 0, 0),
        23,
        "protocol assignments",
    ),
    (
        Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 0),
        32,
        "documentation",
    ),
    (
        Ipv6Addr::new(0x2620, 0x4f, 0x8000, 0, 0, 0, 0, 0),
        48,
        "AS112",
    ),
    (
        Ipv6Addr::new(0x3fff, 0, 0, 0, 0, 0, 0, 0),
        20,
        "documentation",
    ),
];

/// What stands before the IPv4 address in a mapped one.
const MAPPED_BITS: u8 = 96;

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let address = u32::from(address);
    V4.iter()
        .find(|(first, prefix, _)| {
            (address ^ u32::from(*first)).checked_shr(32 - prefix) == Some(0)
        })
        .map(|(_, _, name)| *name)
}

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if address.is_loopback() {
        return Some("loopback");
    }
    if address.is_unspecified() {
        return Some("this network");
    }
    if let Some(inner) = inner_v4(address)
        && let Some(name) = special_v4(inner)
    {
        return Some(name);
    }
    // NAT64 is how a host with IPv6 only reaches the public IPv4 internet.
    if is_nat64(address) {
        return None;
    }
    let bits = u128::from(address);
    if bits >> 125 != 1 {
        return Some(outside_global_unicast(address));
    }
    // 6to4 and ISATAP are judged by more than the address inside: neither is routed any more.
    if address.segments()[0] == 0x2002 {
        return Some("6to4");
    }
    if is_isatap(address) {
        return Some("ISATAP");
    }
    V6.iter()
        .find(|(first, prefix, _)| (bits ^ u128::from(*first)) >> (128 - prefix) == 0)
        .map(|(_, _, name)| *name)
}

fn outside_global_unicast(address: Ipv6Addr) -> &'static str {
    match address.segments()[0] {
        segment if segment & 0xfe00 == 0xfc00 => "unique local",
        segment if segment & 0xffc0 == 0xfe80 => "link-local",
        segment if segment & 0xff00 == 0xff00 => "multicast",
        _ => "reserved",
    }
}

/// A network of mapped addresses (RFC 4291 §2.5.5.2) as the network of IPv4 that it is.
pub fn canonical(network: IpNet) -> IpNet {
    match network {
        IpNet::V6(mapped) if mapped.prefix_len() >= MAPPED_BITS => {
            let inner = mapped.network().to_ipv4_mapped();
            let inner =
                inner.and_then(|v4| Ipv4Net::new(v4, mapped.prefix_len() - MAPPED_BITS).ok());
            inner.map_or(network, IpNet::V4)
        }
        network => network,
    }
}

/// Addresses where clouds tell their machines secrets (metadata, credentials) or serve them alone. Most
/// lie in networks that an operator may list for other reasons, so each counts as listed only if it is
/// listed by itself.
const CLOUD_SERVICES: [IpAddr; 16] = [
    // Amazon, Azure, Google, OpenStack and most others; Amazon's resolver.
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 169, 253)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x253)),
    IpAddr::V6(Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254)),
    IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xa9fe, 0xa9fe)),
    // Credentials of Amazon's containers.
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23)),
    // Alibaba, Azure's platform, Oracle, Tencent, Scaleway.
    IpAddr::V4(Ipv4Addr::new(100, 100, 100, 200)),
    IpAddr::V4(Ipv4Addr::new(168, 63, 129, 16)),
    IpAddr::V4(Ipv4Addr::new(192, 0, 0, 192)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 0, 23)),
    IpAddr::V4(Ipv4Addr::new(169, 254, 42, 42)),
    IpAddr::V6(Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42)),
    // IBM, and clouds that have metadata beside their resolver.
    IpAddr::V4(Ipv4Addr::new(161, 26, 0, 10)),
];

/// Whether a cloud serves its machines at this address.
pub fn is_cloud_service(address: IpAddr) -> bool {
    CLOUD_SERVICES.contains(&address)
}

/// The IPv4 addresses inside an IPv6 one that something on the way may make of it: of its kind, and with
/// these NAT64 prefixes.
pub fn embedded_v4(address: IpAddr, nat64: &[Ipv6Net]) -> Vec<IpAddr> {
    let IpAddr::V6(address) = address else {
        return Vec::new();
    };
    let mut inner: Vec<_> = inner_v4(address).into_iter().collect();
    if is_local_nat64(address) {
        // RFC 8215: the operator chooses the length.
        inner.extend([48, 56, 64].map(|length| translated(address, length)));
    }
    let prefixes = nat64.iter().filter(|prefix| prefix.contains(&address));
    inner.extend(prefixes.map(|prefix| translated(address, prefix.prefix_len())));
    // With the wrong length, what is read is mostly zeros, and no address.
    inner.retain(|v4| v4.octets()[0] != 0 || inner_v4(address) == Some(*v4));
    inner.into_iter().map(IpAddr::V4).collect()
}

/// The address behind a NAT64 prefix of this length; bits 64 to 71 are passed over (RFC 6052 §2.2).
fn translated(address: Ipv6Addr, length: u8) -> Ipv4Addr {
    let octets = address.octets();
    let first = usize::from(length / 8);
    let mut following = (first..octets.len()).filter(|index| *index != 8 || first == 12);
    let v4 = std::array::from_fn(|_| following.next().map_or(0, |index| octets[index]));
    Ipv4Addr::from(v4)
}

/// Whether an address is one of IPv4 that a translator reaches, by the well-known prefix or by these.
pub fn is_translated(address: IpAddr, nat64: &[Ipv6Net]) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            is_nat64(address) || nat64.iter().any(|prefix| prefix.contains(&address))
        }
    }
}

/// The IPv4 address inside: mapped or compatible (RFC 4291 §2.5.5), NAT64 (RFC 6052), 6to4
/// (RFC 3056), Teredo's client (RFC 4380 §4), ISATAP (RFC 5214 §6.1).
fn inner_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = address.segments();
    let tail = || Some(join(s[6], s[7]));
    match s {
        [0, 0, 0, 0, 0, 0 | 0xffff, _, _] => tail(),
        _ if is_nat64(address) || is_local_nat64(address) || is_isatap(address) => tail(),
        [0x2002, high, low, ..] => Some(join(high, low)),
        [0x2001, 0, ..] => Some(join(!s[6], !s[7])),
        _ => None,
    }
}

fn join(high: u16, low: u16) -> Ipv4Addr {
    Ipv4Addr::from(u32::from(high) << 16 | u32::from(low))
}

fn is_nat64(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x64, 0xff9b, 0, 0, 0, 0, _, _])
}

/// A translator's own prefix (RFC 8215), cut to the 96 bits that leave an address at the end.
fn is_local_nat64(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x64, 0xff9b, 1, ..])
}

fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_of_every_network_are_inside_and_their_neighbours_are_judged_alone() {
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
    fn an_address_inside_an_address_is_judged_by_the_inner_one() {
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
    fn an_address_behind_a_prefix_of_any_length_is_found() {
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

    /// What is not globally reachable, as the IANA registries for special addresses of IPv4 and IPv6
    /// have it (read 2025), and multicast (RFC 5771, RFC 4291 §2.7): not as this module has it.
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

    /// An IPv4 address in every disguise.
    fn disguises(address: Ipv4Addr, random: u128) -> [Ipv6Addr; 6] {
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
        fn whatever_is_registered_is_special(index in 0..REGISTERED.len(), random: u128) {
            let address = in_network(REGISTERED[index], random);
            proptest::prop_assert!(special_network(address.to_canonical()).is_some(), "{address}");
        }

        #[test]
        fn no_disguise_makes_a_special_address_an_ordinary_one(index in 0..19_usize, random: u128) {
            let IpAddr::V4(address) = in_network(REGISTERED[index], random) else { return Ok(()) };
            for disguise in disguises(address, random) {
                let judged = special_network(IpAddr::V6(disguise).to_canonical());
                proptest::prop_assert!(judged.is_some(), "{address} as {disguise}");
            }
        }

        #[test]
        fn an_address_in_no_registry_is_ordinary(random: u32) {
            let address = Ipv4Addr::from(random);
            let listed = REGISTERED[..19]
                .iter()
                .any(|network| network.parse::<ipnet::Ipv4Net>().unwrap().contains(&address));
            let cloud = address == Ipv4Addr::new(168, 63, 129, 16);
            proptest::prop_assert_eq!(special_v4(address).is_some(), listed || cloud);
        }
    }
}

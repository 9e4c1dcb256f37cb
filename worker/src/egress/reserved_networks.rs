//! Networks that are not the public internet: the IANA special-purpose address registries (RFC 6890 and its
//! successors), multicast and reserved addresses.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Returns the name of the special network that contains an address, or `None` for a public address. An IPv6
/// address that embeds an IPv4 address is classified by the latter.
pub fn special_network(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

/// First address, prefix length and name of a network.
pub type Network<A> = (A, u32, &'static str);

/// The special networks of IPv4.
pub const V4: [Network<Ipv4Addr>; 19] = [
    (Ipv4Addr::UNSPECIFIED, 8, "this network"),
    (Ipv4Addr::new(10, 0, 0, 0), 8, "private"),
    (Ipv4Addr::new(100, 64, 0, 0), 10, "shared address space"),
    (Ipv4Addr::new(127, 0, 0, 0), 8, "loopback"),
    // In no registry, but the address of Azure's platform on each of its machines.
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

/// The special networks within 2000::/3; every address outside it is special.
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

/// Length of the prefix before the IPv4 address in an IPv4-mapped address.
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
    // 6to4 and ISATAP are refused even with a public IPv4 address: neither is routed any more.
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

/// Converts a network of IPv4-mapped addresses (RFC 4291 §2.5.5.2) to a network of IPv4; leaves others.
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

/// Addresses at which clouds serve metadata, credentials and platform services to their machines. Most lie
/// in networks that an operator may allow for other reasons, so each has to be allowed as a single address.
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
    // IBM's resolver.
    IpAddr::V4(Ipv4Addr::new(161, 26, 0, 10)),
];

/// Whether this is the address of a cloud's platform service.
pub fn is_cloud_service(address: IpAddr) -> bool {
    CLOUD_SERVICES.contains(&address)
}

/// Returns the IPv4 addresses to which a translator may turn an IPv6 address, by its format and by the
/// operator's NAT64 prefixes.
pub fn embedded_v4(address: IpAddr, nat64: &[Ipv6Net]) -> Vec<IpAddr> {
    let IpAddr::V6(address) = address else {
        return Vec::new();
    };
    let mut inner: Vec<_> = inner_v4(address).into_iter().collect();
    if is_local_nat64(address) {
        // RFC 8215: the operator chooses the prefix length.
        inner.extend([48, 56, 64].map(|length| translated(address, length)));
    }
    let prefixes = nat64.iter().filter(|prefix| prefix.contains(&address));
    inner.extend(prefixes.map(|prefix| translated(address, prefix.prefix_len())));
    // A wrong prefix length reads zeros, which are no address.
    inner.retain(|v4| v4.octets()[0] != 0 || inner_v4(address) == Some(*v4));
    inner.into_iter().map(IpAddr::V4).collect()
}

/// Extracts the IPv4 address that follows a NAT64 prefix of this length, skipping bits 64 to 71 (RFC 6052 §2.2).
fn translated(address: Ipv6Addr, length: u8) -> Ipv4Addr {
    let octets = address.octets();
    let first = usize::from(length / 8);
    let mut following = (first..octets.len()).filter(|index| *index != 8 || first == 12);
    let v4 = std::array::from_fn(|_| following.next().map_or(0, |index| octets[index]));
    Ipv4Addr::from(v4)
}

/// Whether an address has the well-known NAT64 prefix or one of the operator's.
pub fn is_translated(address: IpAddr, nat64: &[Ipv6Net]) -> bool {
    match address {
        IpAddr::V4(_) => false,
        IpAddr::V6(address) => {
            is_nat64(address) || nat64.iter().any(|prefix| prefix.contains(&address))
        }
    }
}

/// Extracts an embedded IPv4 address: mapped or compatible (RFC 4291 §2.5.5), NAT64 (RFC 6052), 6to4
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

/// Whether an address has the local-use NAT64 prefix (RFC 8215).
fn is_local_nat64(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [0x64, 0xff9b, 1, ..])
}

fn is_isatap(address: Ipv6Addr) -> bool {
    matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, _, _])
}

#[cfg(test)]
mod tests;

//! Whatever a URL looks like, the gate opens to the public internet alone, on its ports.

#![no_main]

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    sync::LazyLock,
};

use libfuzzer_sys::fuzz_target;
use media_shared::config::EgressConfig;
use media_worker::egress::EgressGate;
use url::{Host, Url};

const PORTS: [u16; 4] = [80, 443, 8080, 8443];

static GATE: LazyLock<EgressGate> = LazyLock::new(|| {
    EgressGate::new(&EgressConfig {
        allow: Vec::new(),
        deny: Vec::new(),
        ports: PORTS.to_vec(),
        allow_hosts: Default::default(),
        deny_hosts: Vec::new(),
        downgrade: false,
    })
});

fuzz_target!(|text: &str| {
    let Ok(url) = Url::parse(text) else { return };
    if GATE.check_url(&url).is_err() {
        return;
    }
    assert!(matches!(url.scheme(), "http" | "https"), "{url}");
    let port = url.port_or_known_default();
    assert!(port.is_some_and(|port| PORTS.contains(&port)), "{url}");
    let address = match url.host() {
        Some(Host::Ipv4(address)) => IpAddr::V4(address),
        Some(Host::Ipv6(address)) => IpAddr::V6(address),
        Some(Host::Domain(name)) => {
            assert!(!name.is_empty(), "{url}");
            return;
        }
        None => panic!("{url} has no host"),
    };
    assert!(is_public(address), "{url}");
});

/// What the standard library knows, for a second opinion.
fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => {
            is_public_v6(address)
                && address.to_ipv4().is_none_or(is_public_v4)
                && embedded(address).is_none_or(is_public_v4)
        }
    }
}

fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    !(address.is_loopback()
        || address.is_private()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_broadcast()
        || address.is_documentation()
        || address.is_unspecified()
        || a == 0
        || a >= 240
        || (a == 100 && b & 0xc0 == 64)
        || (a == 198 && b & 0xfe == 18)
        || matches!((a, b, c), (192, 0, 0) | (192, 88, 99) | (192, 31, 196) | (192, 52, 193) | (192, 175, 48)))
}

fn is_public_v6(address: Ipv6Addr) -> bool {
    !(address.is_loopback()
        || address.is_unspecified()
        || address.is_multicast()
        || address.is_unique_local()
        || address.is_unicast_link_local()
        // Teredo and the other protocol assignments, documentation, 6to4.
        || matches!(address.segments(), [0x2001, 0..=0x1ff, ..] | [0x2001, 0xdb8, ..] | [0x2002, ..])
        // ISATAP.
        || matches!(address.segments(), [_, _, _, _, 0 | 0x200, 0x5efe, ..]))
}

/// The address inside one of NAT64's well-known prefix (RFC 6052) or of 6to4 (RFC 3056).
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let bytes = address.octets();
    let at = match bytes {
        [0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, ..] => 12,
        [0x20, 0x02, ..] => 2,
        _ => return None,
    };
    let inner: [u8; 4] = bytes[at..at + 4].try_into().ok()?;
    Some(inner.into())
}

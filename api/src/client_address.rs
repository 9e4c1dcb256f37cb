//! Where a request comes from: the peer of the connection, or whom proxies that are believed say.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use poem::{Addr, Request, http::HeaderMap};

/// What proxies add the address of their peer to, last (de facto; RFC 7239 §1 tells of it).
const FORWARDED_FOR: &str = "x-forwarded-for";
/// What one customer of an IPv6 network has for itself (RFC 6177 §2).
const V6_SITE_BITS: u32 = 64;

/// The address of the client, as far as it can be believed: what stands in `X-Forwarded-For` is read
/// from its end for as long as trusted proxies wrote it. None where there is no connection.
pub(crate) fn client_address(request: &Request, trusted: &[IpNet]) -> Option<IpAddr> {
    let Addr::SocketAddr(peer) = &request.remote_addr().0 else {
        return None;
    };
    Some(believed(peer.ip(), request.headers(), trusted))
}

fn believed(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|network| network.contains(&address));
    let mut client = peer.to_canonical();
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let hops = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    for hop in hops {
        if !is_trusted(client) {
            break;
        }
        match hop.trim().parse::<IpAddr>() {
            Ok(address) => client = address.to_canonical(),
            Err(_) => break,
        }
    }
    client
}

/// What stands for all addresses that one client can have at will.
pub(crate) fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => {
            let bits = address.to_bits() >> V6_SITE_BITS << V6_SITE_BITS;
            Ipv6Addr::from_bits(bits).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(peer: &str, lines: &[&str]) -> String {
        let trusted = ["10.0.0.0/8".parse().unwrap(), "fd00::/8".parse().unwrap()];
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(FORWARDED_FOR, line.parse().unwrap());
        }
        believed(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_what_trusted_proxies_wrote_is_believed() {
        assert_eq!(client("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // What the client itself wrote stands before what the proxy added.
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1, 198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["1.1.1.1", "198.51.100.1"]),
            "198.51.100.1"
        );
        assert_eq!(
            client("10.0.0.1", &["198.51.100.1, fd00::1"]),
            "198.51.100.1"
        );
        for unreadable in ["", "unknown", "198.51.100.1:80", "10.0.0.2, x"] {
            assert_eq!(client("10.0.0.1", &[unreadable]), "10.0.0.1");
        }
    }

    #[test]
    fn addresses_of_one_site_are_one() {
        let site = |text: &str| site(text.parse().unwrap()).to_string();
        assert_eq!(site("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(site("192.0.2.1"), "192.0.2.1");
    }
}

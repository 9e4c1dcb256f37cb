//! The address of a client: the peer of the connection, or the one that trusted proxies name.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::IpNet;
use poem::{Addr, Request, http::HeaderMap};

/// The header to which proxies append the address of their peer (de facto; see RFC 7239 §1).
const FORWARDED_FOR: &str = "x-forwarded-for";
/// The prefix length of one customer's IPv6 network (RFC 6177 §2).
const V6_SITE_BITS: u32 = 64;

/// The address of the client: `X-Forwarded-For` is read from its end, as far as trusted proxies wrote it. None
/// if there is no connection.
pub(crate) fn client_address(request: &Request, trusted: &[IpNet]) -> Option<IpAddr> {
    let Addr::SocketAddr(peer) = &request.remote_addr().0 else {
        return None;
    };
    Some(trusted_client(peer.ip(), request.headers(), trusted))
}

fn trusted_client(peer: IpAddr, headers: &HeaderMap, trusted: &[IpNet]) -> IpAddr {
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

/// The address that represents all addresses of one client: an IPv4 address, or the /64 of an IPv6 one.
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
        trusted_client(peer.parse().unwrap(), &headers, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_name_the_client() {
        assert_eq!(client("192.0.2.1", &[]), "192.0.2.1");
        assert_eq!(client("192.0.2.1", &["198.51.100.1"]), "192.0.2.1");
        assert_eq!(client("10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        assert_eq!(client("::ffff:10.0.0.1", &["198.51.100.1"]), "198.51.100.1");
        // The client's own value precedes the one that the proxy appended.
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
    fn addresses_of_one_site_are_represented_by_one() {
        let site = |text: &str| site(text.parse().unwrap()).to_string();
        assert_eq!(site("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(site("192.0.2.1"), "192.0.2.1");
    }
}

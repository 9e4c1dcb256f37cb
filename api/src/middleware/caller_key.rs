//! The key under which the requests of a caller are counted.

use std::net::IpAddr;

use ipnet::IpNet;
use media_shared::caller::Caller;
use poem::Request;

use crate::{
    caller::caller_of,
    client_address::{client_address, site},
};

/// The key of a caller in the tables of limits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallerKey {
    /// The subject of a token, with its projects: the same subject of other projects is another caller.
    Subject(String, Vec<String>),
    /// The address of a client without a token, or its /64 of IPv6; none if there is no connection.
    Address(Option<IpAddr>),
}

impl CallerKey {
    /// The key of a request. None without authentication: only this machine reaches the service then, and callers
    /// are not limited.
    pub(crate) fn from_request(request: &Request, proxies: &[IpNet]) -> Option<Self> {
        match caller_of(request) {
            Caller::Trusted => None,
            Caller::Known(principal) => Some(Self::Subject(
                principal.subject.clone(),
                principal.projects.clone(),
            )),
            Caller::Anonymous => Some(Self::Address(address_of(request, proxies))),
        }
    }
}

/// The address under which the requests of a client without a token are counted.
pub(crate) fn address_of(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    client_address(request, proxies).map(site)
}

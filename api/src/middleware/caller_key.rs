//! The key under which the use of a caller is counted.

use std::net::IpAddr;

use ipnet::IpNet;
use media_domain::caller::Caller;
use poem::Request;

use crate::{
    caller::caller_of,
    client_address::{client_address, site},
};

/// Identifies the caller whose use is counted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum CallerKey {
    /// The subject of a token, with its projects: two projects may each have an `ann`.
    Subject(String, Vec<String>),
    /// The address of a client without a token, or its /64 of IPv6; none if there is no connection.
    Address(Option<IpAddr>),
}

impl CallerKey {
    /// The key of a request. Without authentication nothing is counted by caller: only this machine
    /// reaches the service.
    pub(crate) fn from_request(request: &Request, proxies: &[IpNet]) -> Option<Self> {
        match caller_of(request) {
            Caller::Unrestricted => None,
            Caller::Authenticated(principal) => Some(Self::Subject(
                principal.subject.clone(),
                principal.projects.clone(),
            )),
            Caller::Anonymous => Some(Self::Address(address_of(request, proxies))),
        }
    }
}

/// The address that a client without a token is counted by.
pub(crate) fn address_of(request: &Request, proxies: &[IpNet]) -> Option<IpAddr> {
    client_address(request, proxies).map(site)
}

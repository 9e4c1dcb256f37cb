//! Fetches URLs, with a limit on every wait. From bottom to top: types and headers, limits per host, one
//! exchange over one connection ([`exchange`]), an answer after redirects ([`answer`]), and the transfer of
//! a file over several connections ([`transfer`]).

mod answer;
mod body;
mod coding;
mod connect;
mod content_identity;
mod cookies;
mod decoder;
mod error;
mod exchange;
mod fetcher;
mod host_limits;
mod interim_limit;
mod raw_body;
mod redirect;
mod request;
mod response_head;
mod retry_after;
mod target;
mod transfer;
mod validator;

pub(crate) use answer::{Answer, FetchError};
pub(crate) use content_identity::ContentIdentity;
pub(crate) use error::FetchFailure;
pub(crate) use fetcher::Fetcher;
pub(crate) use response_head::Head;
pub(crate) use target::Target;
pub(crate) use transfer::Transfer;
pub(crate) use validator::OriginValidators;

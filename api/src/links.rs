//! Signed links: anyone who has one can download one media, or upload one, until the link expires.

pub(crate) mod create;
mod document;
pub(crate) mod redeem;
pub(crate) mod signed_link;
pub(crate) mod upload_caller;
pub(crate) mod upload_permit;

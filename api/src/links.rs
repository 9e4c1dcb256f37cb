//! Signed links: whoever has one reads one media, for a while.

pub(crate) mod create;
pub(crate) mod redeem;
pub(crate) mod signed_link;

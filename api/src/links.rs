//! Signed links: anyone who has one can download one media until the link expires.

pub(crate) mod create;
pub(crate) mod redeem;
pub(crate) mod signed_link;

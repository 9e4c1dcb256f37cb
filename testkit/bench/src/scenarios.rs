//! The scenarios of the benchmark.

pub(crate) mod at_once;
pub(crate) mod claims;
pub(crate) mod cut;
pub(crate) mod download;
pub(crate) mod idle;
pub(crate) mod imports;
pub(crate) mod lists;
pub(crate) mod pick_up;
pub(crate) mod post;
pub(crate) mod slow;
pub(crate) mod small;
pub(crate) mod upload;

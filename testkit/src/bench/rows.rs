//! What is measured.

pub(super) mod at_once;
pub(super) mod claims;
pub(super) mod cut;
pub(super) mod download;
pub(super) mod idle;
pub(super) mod imports;
pub(super) mod lists;
pub(super) mod pick_up;
pub(super) mod post;
pub(super) mod slow;
pub(super) mod small;
pub(super) mod upload;

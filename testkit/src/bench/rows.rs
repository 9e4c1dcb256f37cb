//! What is measured.

pub(super) mod at_once;
pub(super) mod cut;
pub(super) mod imports;
pub(super) mod slow;

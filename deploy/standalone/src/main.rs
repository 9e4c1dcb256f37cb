//! media
fn main() {}

//! The program as its users meet it: started as they would, on real files from a real origin.

// In tests a failure is a panic that says where.
// A table of cases is as long as there are cases.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::too_many_lines)]
#![allow(clippy::disallowed_methods)]

mod access;
mod bad_requests;
mod client_quirks;
mod clients;
mod command_line;
mod conditional_writes;
mod corpus;
mod crashes;
mod documents;
mod downloads;
mod egress;
mod egress_settings;
mod failures;
mod figures;
mod hardening;
mod hostile_clients;
mod imports;
mod limits;
mod lists;
mod memory;
mod origin_quirks;
mod politeness;
mod private_files;
mod readme;
mod resume;
mod secrets;
mod signals;
mod slow_origins;
mod tokens;
mod types;
mod uploads;

/// The program under test.
const MEDIA: &str = env!("CARGO_BIN_EXE_media");

/// The bytes of a file beside the tests, or among the demonstration's samples.
fn file(name: &str) -> Vec<u8> {
    let here = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    std::fs::read(here.join("tests/files").join(name))
        .or_else(|_| std::fs::read(here.join("samples").join(name)))
        .unwrap()
}

//! Tests of the program `media`, started as users start it, with real files from a real origin.

// In tests a failure is a panic that says where; a table of cases may be long.
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
mod deploy;
mod documents;
mod downloads;
mod egress;
mod egress_settings;
mod expiry;
mod failures;
mod fixture;
mod host_backoff;
mod hostile_clients;
mod http_security;
mod if_exists;
mod imports;
mod keys;
mod limits;
mod list_filters;
mod lists;
mod media_changes;
mod memory;
mod metrics;
mod origin_quirks;
mod private_files;
mod put;
mod readme;
mod resume;
mod secrets;
mod settings;
mod signals;
mod slow_origins;
mod tokens;
mod types;
mod upload_fields;
mod uploads;
mod web_responses;

//! Every query string of a list is accepted or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|query: &str| fuzzing::query_string(query));

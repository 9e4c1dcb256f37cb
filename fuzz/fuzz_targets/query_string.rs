//! Every query of a list is read or refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|query: &str| fuzzing::query_string(query));

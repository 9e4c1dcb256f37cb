//! Every time is accepted or refused, with the same result in bodies and queries.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|text: &str| fuzzing::times(text));

//! No link without a valid signature is accepted.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|input: ([&str; 3], Option<&str>)| fuzzing::signed_link(input.0, input.1));

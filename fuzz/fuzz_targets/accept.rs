//! Every `Accept` header is parsed without a panic.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|field: &[u8]| fuzzing::accept(field));

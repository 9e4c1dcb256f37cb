//! Every range that is served lies within the media.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|input: (u64, &[u8])| fuzzing::range_header(input.1, input.0));

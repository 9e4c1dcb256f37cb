//! Every time is read or refused, in bodies and queries alike.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|text: &str| fuzzing::times(text));

//! Every cursor is accepted or refused, in every sort order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|input: (&str, &str)| fuzzing::cursor(input.0, input.1));

//! Every cursor is read or refused, in every order.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|input: (&str, &str)| fuzzing::cursor(input.0, input.1));

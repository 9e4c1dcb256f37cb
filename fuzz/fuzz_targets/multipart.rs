//! Every form is accepted or refused, with the same result however it is split into chunks.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_api::fuzzing;

fuzz_target!(|input: (&str, u8, &[u8])| fuzzing::multipart(input.0, input.2, usize::from(input.1)));

//! Reading metadata ends for all bytes, and yields only possible values.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_shared::media_metadata;

const TYPES: [&str; 4] = ["image/png", "audio/mpeg", "video/mp4", "audio/ogg"];

fuzz_target!(|input: (u8, &[u8])| {
    let (kind, bytes) = input;
    let mime = TYPES[usize::from(kind) % TYPES.len()];
    let Some(found) = media_metadata::read_whole(bytes.to_vec().into(), mime) else {
        return;
    };
    if let Some(size) = found.dimensions {
        assert!(size.width > 0 && size.height > 0);
    }
});

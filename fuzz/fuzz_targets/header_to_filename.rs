//! Whatever an origin sends as `Content-Disposition`, the name of the file is one that is safe to show
//! and to save.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_worker::filename;

fuzz_target!(|header: &[u8]| {
    let Some(name) = filename::from_content_disposition(header) else {
        return;
    };
    let name = name.as_str();
    assert!(!name.is_empty() && name.len() <= 255, "{name:?}");
    assert!(name != "." && name != "..", "{name:?}");
    assert!(!name.contains(['/', '\\']), "{name:?}");
    assert!(!name.contains(char::is_control), "{name:?}");
    // Characters that turn the reading direction make `gpj.exe` look like `exe.jpg`.
    assert!(!name.contains(['\u{202a}', '\u{202b}', '\u{202c}', '\u{202d}', '\u{202e}']), "{name:?}");
    assert_eq!(name.trim(), name);
});

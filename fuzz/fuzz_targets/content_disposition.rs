//! Every file name from `Content-Disposition`, of an origin or a form, is safe to show and to save.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_shared::{content_disposition, media::Filename};

fuzz_target!(|header: &[u8]| {
    check(content_disposition::filename(header));
    check(content_disposition::form_part(header).filename);
});

fn check(name: Option<Filename>) {
    let Some(name) = name else { return };
    let name = name.as_str();
    assert!(!name.is_empty() && name.len() <= 255, "{name:?}");
    assert!(name != "." && name != "..", "{name:?}");
    assert!(!name.contains(['/', '\\']), "{name:?}");
    assert!(!name.contains(char::is_control), "{name:?}");
    // Characters that change the text direction make `gpj.exe` look like `exe.jpg`.
    let turns = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    assert!(!name.contains(turns), "{name:?}");
    assert_eq!(name.trim(), name);
}

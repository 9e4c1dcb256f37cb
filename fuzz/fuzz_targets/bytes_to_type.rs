//! Every file has a media type and, if it is text, a charset that are valid in a header.

#![no_main]

use libfuzzer_sys::fuzz_target;
use media_shared::media_type;

fuzz_target!(|input: (&[u8], Option<&str>, Option<&str>)| {
    let (head, declared, extension) = input;
    let found = media_type::detect(head, declared, extension);
    let is_token = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b';');
    assert!(found.mime.contains('/') && is_token(&found.mime), "{found:?}");
    assert!(found.charset.as_deref().is_none_or(is_token), "{found:?}");
});

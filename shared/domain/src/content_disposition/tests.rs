#![allow(clippy::too_many_lines, reason = "a table is as long as it has cases")]

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::*;

fn name(field: &[u8]) -> Option<String> {
    filename(field).map(|name| name.as_str().to_owned())
}

fn form(field: &[u8]) -> (Option<String>, Option<String>) {
    let part = form_part(field);
    (
        part.name,
        part.filename.map(|name| name.as_str().to_owned()),
    )
}

#[test]
fn file_names_of_origins_are_parsed() {
    for (field, expected) in [
        // The syntax of RFC 6266.
        (&b"attachment; filename=\"a b.jpg\""[..], Some("a b.jpg")),
        (b"attachment; filename=plain.jpg", Some("plain.jpg")),
        (b"ATTACHMENT; FileName=\"a.jpg\"", Some("a.jpg")),
        (
            b"inline; filename=\"x.jpg\"; filename*=UTF-8''%E2%82%AC%20rates.jpg",
            Some("€ rates.jpg"),
        ),
        (
            b"inline; filename*=UTF-8''%E2%82%AC.jpg; filename=\"x.jpg\"",
            Some("€.jpg"),
        ),
        (
            b"attachment; filename*=iso-8859-1'en'caf%E9.png",
            Some("café.png"),
        ),
        (
            b"attachment; filename=\"semi;colon.jpg\"",
            Some("semi;colon.jpg"),
        ),
        (
            b"attachment; filename=\"quo\\\"te.jpg\"",
            Some("quo\"te.jpg"),
        ),
        // Without quotes.
        (
            b"attachment; filename=Harbour at dusk.png",
            Some("Harbour at dusk.png"),
        ),
        (
            b"attachment; filename=harbour(2).png",
            Some("harbour(2).png"),
        ),
        (
            b"attachment; filename=[set4]harbour.png",
            Some("[set4]harbour.png"),
        ),
        (
            b"attachment; filename=harbour@2x.png; size=3",
            Some("harbour@2x.png"),
        ),
        (
            "attachment; filename=hafen-übersicht.png".as_bytes(),
            Some("hafen-übersicht.png"),
        ),
        (b"attachment; filename=a,b{c}<d>.png", Some("a,b{c}<d>.png")),
        (b"attachment;filename=a=b.png", Some("a=b.png")),
        (b"filename=a.png", Some("a.png")),
        (b"attachment; filename = a.png ;", Some("a.png")),
        (b"attachment filename=\"a.png\"", Some("a.png")),
        // Other charsets and encodings.
        (b"attachment; filename=\"caf\xe9.png\"", Some("café.png")),
        (b"attachment; filename=caf\xe9 \x80.png", Some("café €.png")),
        (
            b"attachment; filename=\"=?UTF-8?B?w6kgw6guanBn?=\"",
            Some("é è.jpg"),
        ),
        (
            b"attachment; filename==?utf-8?q?a_=C3=A9.jpg?=",
            Some("a é.jpg"),
        ),
        (
            b"attachment; filename=\"=?ISO-8859-1*fr?Q?caf=E9?= =?UTF-8?Q?=2Epng?=\"",
            Some("café.png"),
        ),
        (
            b"attachment; filename=\"=?UTF-8?B?w6nD?= =?UTF-8?B?qS5qcGc=?=\"",
            Some("éé.jpg"),
        ),
        (
            b"attachment; filename=\"=?nonsense?= x\"",
            Some("=?nonsense?= x"),
        ),
        (
            b"attachment; filename=\"caf%C3%A9%20a.png\"",
            Some("café a.png"),
        ),
        (
            b"attachment; filename=\"100% sure.png\"",
            Some("100% sure.png"),
        ),
        (
            b"attachment; filename*0=\"a long \"; filename*1=\"name.png\"",
            Some("a long name.png"),
        ),
        (
            b"attachment; filename*0*=UTF-8''%C3; filename*1*=%A9; filename*2=\"%20.png\"",
            Some("é%20.png"),
        ),
        // The preferred one of two names.
        (
            b"attachment; filename=\"good.png\"; filename*=UTF-8''caf%E9.png",
            Some("good.png"),
        ),
        (
            b"attachment; filename*=UTF-8''%zz.png; filename=\"good.png\"",
            Some("good.png"),
        ),
        (
            b"attachment; filename*=x-none''a%20b.png; filename=\"good.png\"",
            Some("good.png"),
        ),
        (
            b"attachment; filename*=broken.png; filename=\"good.png\"",
            Some("good.png"),
        ),
        (
            b"attachment; filename*=UTF-8''; filename=\"good.png\"",
            Some("good.png"),
        ),
        (
            b"attachment; filename=\"\"; filename*=UTF-8''good.png",
            Some("good.png"),
        ),
        (
            b"attachment; filename=\"\"; filename=good.png",
            Some("good.png"),
        ),
        (
            b"attachment; filename*=\"UTF-8''a%20b.png\"",
            Some("a b.png"),
        ),
        (b"attachment; filename*=utf8''\"a.png\"", Some("a.png")),
        (b"attachment; filename*=''a.png", Some("a.png")),
        (
            "attachment; filename*=UTF-8''é b.png".as_bytes(),
            Some("é b.png"),
        ),
        // A malformed name, if it is the only one.
        (b"attachment; filename*=UTF-8''caf%E9.png", Some("café.png")),
        (b"attachment; filename*=a%20b.png", Some("a b.png")),
        (b"attachment; filename=\"open.png", Some("open.png")),
        (
            b"attachment; filename=\"a \"b\" c.png\"",
            Some("a \"b\" c.png"),
        ),
        // Paths, control characters and characters that change the reading direction are removed.
        (b"attachment; filename=\"../../etc/passwd\"", Some("passwd")),
        (
            b"attachment; filename=\"C:\\\\temp\\\\a.jpg\"",
            Some("a.jpg"),
        ),
        (
            b"attachment; filename=\"C:\\temp\\new.jpg\"",
            Some("new.jpg"),
        ),
        (b"attachment; filename=..\\..\\a.jpg", Some("a.jpg")),
        (
            b"attachment; filename*=UTF-8''..%2F..%5Ca%00%0d%0a.jpg",
            Some("a.jpg"),
        ),
        (b"attachment; filename=\"..%2f..%2fpasswd\"", Some("passwd")),
        (
            "attachment; filename=\"\u{202e}gpj.exe\u{200f}\u{2066}\u{61c}\"".as_bytes(),
            Some("gpj.exe"),
        ),
        (
            b"attachment; filename*=UTF-8''%E2%80%AEgpj.exe",
            Some("gpj.exe"),
        ),
        // No name.
        (b"attachment; filename=\"\"", None),
        (b"attachment; filename=..", None),
        (b"attachment", None),
        (b"\x00", None),
        (b"", None),
    ] {
        assert_eq!(name(field).as_deref(), expected, "{}", field.escape_ascii());
    }
}

#[test]
fn names_of_form_fields_and_files_are_parsed() {
    for (field, field_name, expected) in [
        (
            &b"form-data; name=\"media\"; filename=\"a.png\""[..],
            Some("media"),
            Some("a.png"),
        ),
        (
            b"form-data; filename*=UTF-8''%C3%A9.png; name=media",
            Some("media"),
            Some("é.png"),
        ),
        (
            b"form-data; name=media; filename*=UTF-8''%C3%A9.png; filename=\"e.png\"",
            Some("media"),
            Some("é.png"),
        ),
        (
            b"form-data; filename=\"x; name=evil.png\"; name=\"media\"",
            Some("media"),
            Some("x; name=evil.png"),
        ),
        (
            b"form-data; filename=\"name=\\\"a\\\".png\"; name=\"media\"",
            Some("media"),
            Some("name=\"a\".png"),
        ),
        (
            b"form-data; filename=name=a.png; name=media",
            Some("media"),
            Some("name=a.png"),
        ),
        (
            b"form-data; filename=\"name=a.png\"",
            None,
            Some("name=a.png"),
        ),
        (
            b"form-data; name=\"media\"; filename=\"=?utf-8?B?w6kucG5n?=\"",
            Some("media"),
            Some("é.png"),
        ),
        (
            b"form-data; name=\"media\"; filename=\"caf\xe9.png\"",
            Some("media"),
            Some("café.png"),
        ),
        (
            b"form-data; name=\"media\"; filename=\"a %22b%22.png\"",
            Some("media"),
            Some("a \"b\".png"),
        ),
        (
            b"form-data; name=\"media\"; filename=\"a%0D%0Ab.png\"",
            Some("media"),
            Some("ab.png"),
        ),
        // A `%` in the name is kept.
        (
            b"form-data; name=\"media\"; filename=\"100%25.png\"",
            Some("media"),
            Some("100%25.png"),
        ),
        (
            b"form-data; name=\"media\"; filename=\"C:\\fakepath\\a.png\"",
            Some("media"),
            Some("a.png"),
        ),
        (
            b"form-data; name=\"say %22hi%22\"",
            Some("say \"hi\""),
            None,
        ),
        (b"form-data; name=\"public\"", Some("public"), None),
        (
            b"form-data; name=\"media\"; filename=\"\"",
            Some("media"),
            None,
        ),
        (b"form-data", None, None),
    ] {
        let expected = (field_name.map(str::to_owned), expected.map(str::to_owned));
        assert_eq!(form(field), expected, "{}", field.escape_ascii());
    }
}

/// Whether a name is safe to display and to save.
fn is_safe(name: &Filename) -> bool {
    let name = name.as_str();
    let direction = |c: char| matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    !name.is_empty()
        && name.len() <= 255
        && name != "."
        && name != ".."
        && name.trim() == name
        && !name.contains(['/', '\\'])
        && !name.contains(char::is_control)
        && !name.contains(direction)
}

proptest::proptest! {
    #[test]
    fn every_name_is_safe(value: Vec<u8>, text in "\\PC{0,60}") {
        for value in [value.as_slice(), text.as_bytes()] {
            for before in ["", "attachment; filename=", "a; filename=\"", "a; filename*=UTF-8''", "a; filename=\"=?UTF-8?Q?", "a; filename*0*=''"] {
                let field = [before.as_bytes(), value].concat();
                let names = filename(&field).into_iter().chain(form_part(&field).filename);
                for name in names {
                    proptest::prop_assert!(is_safe(&name), "{name:?}");
                }
            }
        }
    }

    #[test]
    fn a_name_is_preserved_by_every_encoding(name in "[a-zA-Z0-9é€名(){}\\[\\]@+,&#!~-][a-zA-Z0-9 é€名(){}\\[\\]@+,&#!~'.-]{0,30}[a-z]") {
        let percent = utf8_percent_encode(&name, NON_ALPHANUMERIC).to_string();
        let word = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, &name);
        for field in [
            format!("attachment; filename={name}"),
            format!("attachment; filename=\"{name}\""),
            format!("attachment; filename*=UTF-8''{percent}"),
            format!("attachment; filename=\"{percent}\""),
            format!("attachment; filename=\"=?UTF-8?B?{word}?=\""),
            format!("attachment; filename*=UTF-8''%FF; filename=\"{name}\""),
        ] {
            let found = filename(field.as_bytes());
            proptest::prop_assert_eq!(found.as_ref().map(Filename::as_str), Some(name.as_str()), "{}", field);
        }
    }
}

//! URLs as they may be shown.

use url::Url;

/// Hides the parts of a URL that may be secret: user, password, fragment, the values of the query, and parameters of
/// the path's segments (`;name=value`, RFC 3986 §3.3).
pub fn redact_url(url: &Url) -> String {
    let mut shown = url.clone();
    // Both only fail for URLs without a host, which http and https always have.
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    if url.path().contains(';') {
        let segments: Vec<_> = url.path().split('/').map(redact_segment).collect();
        shown.set_path(&segments.join("/"));
    }
    if let Some(query) = url.query() {
        let parts: Vec<_> = query.split('&').map(redact_parameter).collect();
        shown.set_query(Some(&parts.join("&")));
    }
    shown.into()
}

fn redact_segment(segment: &str) -> String {
    let mut parts = segment.split(';');
    let name = parts.next().unwrap_or_default().to_owned();
    parts.fold(name, |shown, parameter| {
        shown + ";" + &redact_parameter(parameter)
    })
}

/// Hides a parameter's value. A parameter without a name is a value as a whole, and so is one with an unusual name,
/// which could be another URL with a password in it.
fn redact_parameter(parameter: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~[]%+".contains(&byte);
    let named = parameter.split_once('=');
    match named.filter(|(name, _)| name.len() <= 64 && name.bytes().all(plain)) {
        Some((name, "")) => format!("{name}="),
        Some((name, _)) => format!("{name}=redacted"),
        None if parameter.is_empty() => String::new(),
        None => "redacted".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_secret_in_a_url_is_shown() {
        for (url, shown) in [
            (
                "http://user:pass@h.test/a?b=c&d=&e#f",
                "http://h.test/a?b=redacted&d=&redacted",
            ),
            ("http://h.test/a?eyJhbGciOi", "http://h.test/a?redacted"),
            (
                "http://h.test/a?http://u:p@i.test/?t=1",
                "http://h.test/a?redacted",
            ),
            (
                "http://h.test/a?X-Sig=a%26b=c",
                "http://h.test/a?X-Sig=redacted",
            ),
            ("http://h.test/a?", "http://h.test/a?"),
            (
                "http://h.test/a?b=c;d=e&f",
                "http://h.test/a?b=redacted&redacted",
            ),
            (
                "http://h.test/a;sid=c/b;d;e=?x",
                "http://h.test/a;sid=redacted/b;redacted;e=?redacted",
            ),
            ("http://h.test/a", "http://h.test/a"),
        ] {
            assert_eq!(redact_url(&Url::parse(url).unwrap()), shown, "{url}");
        }
    }
}

//! Removal of secrets from URLs.

use url::Url;

/// Redacts the parts of a URL that may be secret: user, password, fragment, the values of the query, and the parameters
/// of path segments (`;name=value`, RFC 3986 §3.3).
pub fn redact_url(url: &Url) -> String {
    let mut shown = url.clone();
    // Both fail only for URLs without a host, and http and https URLs have one.
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

/// Redacts the value of a parameter. A parameter without a name is redacted entirely, and so is one with an unusual
/// name, which could be another URL that contains a password.
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
    fn secrets_in_a_url_are_redacted() {
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

//! The identifier of a request, in logs, traces and the answer.

use std::fmt;

use poem::http::{HeaderMap, HeaderName, HeaderValue};
use uuid::Uuid;

/// The header of the identifier, in requests and answers.
pub(crate) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// The longest identifier that a client may give, in bytes.
const MAX_BYTES: usize = 128;

/// The identifier of a request: the client's, if it is safe to write anywhere, or a new UUIDv7.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RequestId(HeaderValue);

impl RequestId {
    pub(crate) fn from_headers(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).filter(|value| is_plain(value));
        Self(given.cloned().unwrap_or_else(generated))
    }

    pub(crate) fn into_header(self) -> HeaderValue {
        self.0
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.to_str().unwrap_or_default())
    }
}

fn is_plain(value: &HeaderValue) -> bool {
    let bytes = value.as_bytes();
    (1..=MAX_BYTES).contains(&bytes.len())
        && bytes
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.:=+/".contains(byte))
}

fn generated() -> HeaderValue {
    let id = Uuid::now_v7().hyphenated().to_string();
    // Hexadecimal digits and hyphens are a valid value.
    HeaderValue::try_from(id).unwrap_or(HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id_for(given: Option<&[u8]>) -> String {
        let mut headers = HeaderMap::new();
        if let Some(given) = given {
            headers.insert(HEADER, HeaderValue::from_bytes(given).unwrap());
        }
        RequestId::from_headers(&headers).to_string()
    }

    #[test]
    fn a_clients_identifier_is_used_if_it_is_safe() {
        assert_eq!(id_for(Some(b"req-1.2:3")), "req-1.2:3");
        for given in [
            None,
            Some(&b""[..]),
            Some(b"a b"),
            Some(b"a\"b"),
            Some(b"\xff"),
            Some(&[b'a'; 129]),
        ] {
            let generated = id_for(given);
            assert!(
                Uuid::parse_str(&generated).is_ok(),
                "{given:?}: {generated}"
            );
        }
    }
}

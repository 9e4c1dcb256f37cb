//! Content codings of answers (RFC 9110 §8.4): negotiation and compression.

use std::io::{self, Write as _};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use parse_net::negotiate::{Negotiator, Outcome};
use poem::http::{HeaderMap, HeaderValue, header};

use crate::media::headers::field;

/// The level of zstd: lists are compressed for each request.
const ZSTD_LEVEL: i32 = 1;

/// A coding that compresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ContentCoding {
    /// RFC 8878.
    Zstd,
    /// RFC 1952.
    Gzip,
}

impl ContentCoding {
    /// The codings in the order of preference.
    pub(crate) const ALL: [Self; 2] = [Self::Zstd, Self::Gzip];

    /// The best coding that a client accepts; none if that is no coding at all.
    pub(crate) fn accepted_by(headers: &HeaderMap) -> Option<Self> {
        let accepted = field(headers, &header::ACCEPT_ENCODING)?;
        let names = Self::ALL.map(Self::name);
        match Negotiator::new().encoding(Some(&accepted), &names) {
            Outcome::Chosen { index, .. } => Self::ALL.get(index).copied(),
            _ => None,
        }
    }

    /// The name in `Content-Encoding`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    /// The value of `Content-Encoding`.
    pub(crate) fn header(self) -> HeaderValue {
        HeaderValue::from_static(self.name())
    }

    /// Compresses bytes.
    pub(crate) fn compress(self, bytes: &[u8]) -> io::Result<Bytes> {
        match self {
            Self::Zstd => zstd::bulk::compress(bytes, ZSTD_LEVEL).map(Bytes::from),
            Self::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(bytes)?;
                encoder.finish().map(Bytes::from)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_accepted_coding_is_chosen() {
        for (lines, expected) in [
            (&[][..], None),
            (&[""], None),
            (&["identity"], None),
            (&["br"], None),
            (&["gzip"], Some(ContentCoding::Gzip)),
            (&["x-gzip"], Some(ContentCoding::Gzip)),
            (&["gzip, deflate, br, zstd"], Some(ContentCoding::Zstd)),
            (&["gzip, zstd;q=0.5"], Some(ContentCoding::Gzip)),
            (&["br", "GZIP;q=0.5"], Some(ContentCoding::Gzip)),
            (&["gzip;q=0, zstd;q=0"], None),
            (&["*"], Some(ContentCoding::Zstd)),
            (&["gzip;q=nonsense"], None),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::ACCEPT_ENCODING, HeaderValue::from_static(line));
            }
            assert_eq!(ContentCoding::accepted_by(&headers), expected, "{lines:?}");
        }
    }

    #[test]
    fn text_becomes_smaller() {
        let text = "text ".repeat(1000);
        for coding in ContentCoding::ALL {
            let small = coding.compress(text.as_bytes()).unwrap();
            assert!(small.len() < 100, "{coding:?}: {}", small.len());
        }
    }
}

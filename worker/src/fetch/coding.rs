//! Content codings of answers (RFC 9110 §8.4). None is requested, but some origins send one anyway: it is
//! removed, within limits, unless the file itself is in that coding.

use hyper::{HeaderMap, header};

use super::error::ExchangeError;

/// Maximum number of nested codings.
const MAX_CODINGS: usize = 3;
/// Registered codings that are not supported. Values that are not codings (a charset, `none`, `aws-chunked`)
/// are ignored: they do not change the bytes.
const UNSUPPORTED: [&str; 7] = [
    "compress",
    "x-compress",
    "aes128gcm",
    "dcb",
    "dcz",
    "exi",
    "pack200-gzip",
];

/// A content coding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    Gzip,
    Deflate,
    Brotli,
    Zstd,
    Unsupported,
}

impl Coding {
    /// Parses a token; nothing if it is not a coding.
    fn parse(token: &str) -> Option<Self> {
        match token {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            other => UNSUPPORTED.contains(&other).then_some(Self::Unsupported),
        }
    }

    /// Whether the name or type of a file says that the file itself is in this coding.
    fn is_file_format(self, name: &str, mime: Option<&str>) -> bool {
        let extension = name.rsplit_once('.').map(|(_, extension)| extension);
        let extension = extension.unwrap_or_default().to_ascii_lowercase();
        let (extensions, types): (&[&str], &[&str]) = match self {
            Self::Gzip => (
                &["gz", "tgz", "taz", "gzip", "svgz", "emz", "wmz"],
                &[
                    "application/gzip",
                    "application/x-gzip",
                    "application/gzip-compressed",
                    "application/gzipped",
                    "application/x-gunzip",
                    "application/x-tgz",
                    "application/x-compressed-tar",
                    "application/x-gtar-compressed",
                ],
            ),
            Self::Deflate => (&["zlib", "zz"], &["application/zlib"]),
            Self::Brotli => (&["br"], &[]),
            Self::Zstd => (
                &["zst", "tzst"],
                &["application/zstd", "application/x-zstd"],
            ),
            Self::Unsupported => (&["z", "taz"], &["application/x-compress"]),
        };
        extensions.contains(&extension.as_str()) || mime.is_some_and(|mime| types.contains(&mime))
    }
}

/// Returns the codings to remove from an answer to get the file, the last one first. `names` are the names that
/// the file may have. A file that is itself in a coding, such as a `.tar.gz`, keeps it: some servers use the
/// header to describe the file.
pub(super) fn to_remove(
    headers: &HeaderMap,
    names: &[&str],
    mime: Option<&str>,
) -> Result<Vec<Coding>, ExchangeError> {
    let mut codings: Vec<(Coding, String)> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| tokens(value.as_bytes()))
        .filter_map(|token| Some((Coding::parse(&token)?, token)))
        .collect();
    if let Some((first, _)) = codings.first()
        && names.iter().any(|name| first.is_file_format(name, mime))
    {
        codings.remove(0);
    }
    let is_unsupported = |(coding, _): &&(Coding, String)| *coding == Coding::Unsupported;
    if let Some((_, token)) = codings.iter().find(is_unsupported) {
        return Err(unsupported(token));
    }
    if codings.len() > MAX_CODINGS {
        return Err(unsupported("several codings at once"));
    }
    Ok(codings.iter().rev().map(|(coding, _)| *coding).collect())
}

/// Whether the body is chunked. `Transfer-Encoding` may be `chunked`, which hyper decodes, and the obsolete
/// `identity`; nothing else (RFC 9112 §6.1).
pub(super) fn is_chunked(headers: &HeaderMap) -> Result<bool, ExchangeError> {
    let codings: Vec<String> = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .flat_map(|value| tokens(value.as_bytes()))
        .filter(|token| token != "identity")
        .collect();
    match codings.as_slice() {
        [] => Ok(false),
        [only] if only == "chunked" => Ok(true),
        [first, ..] => Err(unsupported(first)),
    }
}

/// Splits a list into tokens in lower case.
fn tokens(value: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(value)
        .split(',')
        .map(|token| token.trim().to_ascii_lowercase())
        .filter(|token| !token.is_empty())
        .collect()
}

fn unsupported(token: &str) -> ExchangeError {
    ExchangeError::UnsupportedCoding(token.chars().take(32).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn remove(lines: &[&'static str], name: &str, mime: Option<&str>) -> Option<Vec<Coding>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::CONTENT_ENCODING, line.parse().unwrap());
        }
        to_remove(&headers, &[name], mime).ok()
    }

    #[test]
    fn codings_are_removed_unless_the_file_itself_is_in_them() {
        use Coding::{Brotli, Deflate, Gzip, Zstd};
        for (lines, name, mime, expected) in [
            (&["gzip"][..], "a.csv", Some("text/csv"), Some(vec![Gzip])),
            (&[" X-GZIP "], "", None, Some(vec![Gzip])),
            (&["deflate"], "a", None, Some(vec![Deflate])),
            (&["br"], "a", None, Some(vec![Brotli])),
            (&["zstd"], "a", None, Some(vec![Zstd])),
            (&["deflate, gzip"], "a", None, Some(vec![Gzip, Deflate])),
            (&["identity", "gzip"], "a", None, Some(vec![Gzip])),
            // Formats of the file.
            (&["gzip"], "a.tar.gz", None, Some(vec![])),
            (&["x-gzip"], "A.TGZ", None, Some(vec![])),
            (&["gzip"], "a", Some("application/x-gzip"), Some(vec![])),
            (&["gzip", "gzip"], "a.gz", None, Some(vec![Gzip])),
            (&["br"], "a.gz", None, Some(vec![Brotli])),
            (&["x-compress"], "a.tar.Z", None, Some(vec![])),
            // Not codings.
            (&["utf-8"], "a", None, Some(vec![])),
            (
                &["none", "binary, aws-chunked", "", "8bit"],
                "a",
                None,
                Some(vec![]),
            ),
            (&["aws-chunked,gzip"], "a", None, Some(vec![Gzip])),
            (&[], "a", None, Some(vec![])),
            // Not supported.
            (&["compress"], "a", None, None),
            (&["gzip, aes128gcm"], "a", None, None),
            (&["gzip, gzip, gzip, gzip"], "a", None, None),
        ] {
            assert_eq!(remove(lines, name, mime), expected, "{lines:?} of {name}");
        }
    }

    #[test]
    fn chunked_is_the_only_transfer_coding() {
        for (value, expected) in [
            ("chunked", Some(true)),
            ("Identity", Some(false)),
            ("identity, chunked", Some(true)),
            ("", Some(false)),
            ("gzip, chunked", None),
            ("chunked, chunked", None),
            ("x", None),
        ] {
            let headers =
                HeaderMap::from_iter([(header::TRANSFER_ENCODING, value.parse().unwrap())]);
            assert_eq!(is_chunked(&headers).ok(), expected, "{value}");
        }
    }
}

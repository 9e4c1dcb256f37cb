//! Content codings of answers (RFC 9110 §8.4). None is asked for, but some origins send one anyway: it is
//! undone, within limits, unless it is the file's own.

use hyper::{HeaderMap, header};
use media_domain::job::{Failure, FailureCode, arguments::redact_url};
use url::Url;

mod decoder;

pub(super) use decoder::Decoder;

/// The most codings over one another that are undone.
const MAX_CODINGS: usize = 3;
/// Registered codings that cannot be undone here. A word that is no coding at all (a charset, `none`,
/// `aws-chunked`) is ignored: the bytes are as they are.
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
    /// One that cannot be undone.
    Unsupported,
}

impl Coding {
    /// Nothing for words that are no coding.
    fn parse(word: &str) -> Option<Self> {
        match word {
            "gzip" | "x-gzip" => Some(Self::Gzip),
            "deflate" => Some(Self::Deflate),
            "br" => Some(Self::Brotli),
            "zstd" => Some(Self::Zstd),
            other => UNSUPPORTED.contains(&other).then_some(Self::Unsupported),
        }
    }

    /// Whether the name or type of a file says that it is in this coding by itself.
    fn is_of_file(self, name: &str, mime: Option<&str>) -> bool {
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

/// The codings of an answer that have to be undone to get the file, the last one first. `names` are those
/// that the file may have. A file that is in a coding by itself, such as a `.tar.gz`, keeps it: the
/// header then describes the file, as some servers have it.
pub(super) fn to_undo(
    url: &Url,
    headers: &HeaderMap,
    names: &[&str],
    mime: Option<&str>,
) -> Result<Vec<Coding>, Failure> {
    let mut codings: Vec<(Coding, String)> = headers
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .flat_map(|value| words(value.as_bytes()))
        .filter_map(|word| Some((Coding::parse(&word)?, word)))
        .collect();
    if let Some((first, _)) = codings.first()
        && names.iter().any(|name| first.is_of_file(name, mime))
    {
        codings.remove(0);
    }
    let refused = |(coding, _): &&(Coding, String)| *coding == Coding::Unsupported;
    if let Some((_, word)) = codings.iter().find(refused) {
        return Err(unsupported(url, word));
    }
    if codings.len() > MAX_CODINGS {
        return Err(unsupported(url, "several codings at once"));
    }
    Ok(codings.iter().rev().map(|(coding, _)| *coding).collect())
}

/// Whether the body is in chunks. `Transfer-Encoding` may say `chunked`, which is undone on the way, and
/// the obsolete `identity`; nothing else (RFC 9112 §6.1).
pub(super) fn check_transfer(url: &Url, headers: &HeaderMap) -> Result<bool, Failure> {
    let codings: Vec<String> = headers
        .get_all(header::TRANSFER_ENCODING)
        .iter()
        .flat_map(|value| words(value.as_bytes()))
        .filter(|word| word != "identity")
        .collect();
    match codings.as_slice() {
        [] => Ok(false),
        [only] if only == "chunked" => Ok(true),
        [first, ..] => Err(unsupported(url, first)),
    }
}

/// The words of a list, in lower case.
fn words(value: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(value)
        .split(',')
        .map(|word| word.trim().to_ascii_lowercase())
        .filter(|word| !word.is_empty())
        .collect()
}

fn unsupported(url: &Url, word: &str) -> Failure {
    let shown: String = word.chars().take(32).collect();
    Failure::new(
        FailureCode::UnsupportedEncoding,
        format!(
            "{} sent its bytes in the coding `{shown}`, which cannot be undone, though only `identity` was asked for; the origin has to be set right",
            redact_url(url)
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url() -> Url {
        Url::parse("http://origin.test/").unwrap()
    }

    fn undo(lines: &[&'static str], name: &str, mime: Option<&str>) -> Option<Vec<Coding>> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(header::CONTENT_ENCODING, line.parse().unwrap());
        }
        to_undo(&url(), &headers, &[name], mime).ok()
    }

    #[test]
    fn codings_are_undone_unless_they_are_none_or_the_file_s_own() {
        use Coding::{Brotli, Deflate, Gzip, Zstd};
        for (lines, name, mime, expected) in [
            (&["gzip"][..], "a.csv", Some("text/csv"), Some(vec![Gzip])),
            (&[" X-GZIP "], "", None, Some(vec![Gzip])),
            (&["deflate"], "a", None, Some(vec![Deflate])),
            (&["br"], "a", None, Some(vec![Brotli])),
            (&["zstd"], "a", None, Some(vec![Zstd])),
            (&["deflate, gzip"], "a", None, Some(vec![Gzip, Deflate])),
            (&["identity", "gzip"], "a", None, Some(vec![Gzip])),
            // The file's own.
            (&["gzip"], "a.tar.gz", None, Some(vec![])),
            (&["x-gzip"], "A.TGZ", None, Some(vec![])),
            (&["gzip"], "a", Some("application/x-gzip"), Some(vec![])),
            (&["gzip", "gzip"], "a.gz", None, Some(vec![Gzip])),
            (&["br"], "a.gz", None, Some(vec![Brotli])),
            (&["x-compress"], "a.tar.Z", None, Some(vec![])),
            // No codings.
            (&["utf-8"], "a", None, Some(vec![])),
            (
                &["none", "binary, aws-chunked", "", "8bit"],
                "a",
                None,
                Some(vec![]),
            ),
            (&["aws-chunked,gzip"], "a", None, Some(vec![Gzip])),
            (&[], "a", None, Some(vec![])),
            // Not known here.
            (&["compress"], "a", None, None),
            (&["gzip, aes128gcm"], "a", None, None),
            (&["gzip, gzip, gzip, gzip"], "a", None, None),
        ] {
            assert_eq!(undo(lines, name, mime), expected, "{lines:?} of {name}");
        }
    }

    #[test]
    fn only_chunks_are_undone_on_the_way() {
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
            assert_eq!(check_transfer(&url(), &headers).ok(), expected, "{value}");
        }
    }
}

//! Where the bytes are.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;

use super::{Settings, check::Checker};

/// Where the bytes are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// A directory, created if it is not there.
    Directory(PathBuf),
    /// A bucket of S3, or of anything that speaks it.
    S3(S3Location),
}

/// A place in S3, and how it is spoken to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket, which must exist.
    pub bucket: String,
    /// What every object's key begins with: empty, or text that ends with a slash.
    pub prefix: String,
    /// Whether the bucket's name goes into the path; none leaves it to the endpoint.
    pub path_style: Option<bool>,
    /// The most bytes held in memory on their way.
    pub buffer: ByteSize,
}

/// Checks what concerns storage.
pub(super) fn check(settings: &Settings, checker: &mut Checker) -> Option<StorageUrl> {
    let path_style = checker.keep("MEDIA_S3_PATH_STYLE", path_style(&settings.s3_path_style));
    let buffer = checker.keep(
        "MEDIA_S3_BUFFER_BYTES",
        s3_buffer(&settings.s3_buffer_bytes),
    );
    let url = checker.keep("MEDIA_STORAGE_URL", place(&settings.storage_url))?;
    Some(match url {
        Place::Directory(path) => StorageUrl::Directory(path),
        Place::S3 { bucket, prefix } => StorageUrl::S3(S3Location {
            bucket,
            prefix,
            path_style: path_style?,
            buffer: buffer?,
        }),
    })
}

/// What `MEDIA_STORAGE_URL` names.
enum Place {
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("file:") {
        return path_of(path.strip_prefix("//").unwrap_or(path)).map(Place::Directory);
    }
    let Some(place) = text.strip_prefix("s3://") else {
        return Err("must start with file: or s3://".to_owned());
    };
    let (bucket, prefix) = place.split_once('/').unwrap_or((place, ""));
    Ok(Place::S3 {
        bucket: bucket_name(bucket)?,
        prefix: key_prefix(prefix)?,
    })
}

/// The characters that Amazon allows in the names of buckets.
fn bucket_name(text: &str) -> Result<String, String> {
    let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    if (3..=63).contains(&text.len()) && text.chars().all(allowed) {
        Ok(text.to_owned())
    } else {
        Err(
            "must name a bucket: 3 to 63 lower-case letters, digits, dots and hyphens, such as s3://media-files/imports"
                .to_owned(),
        )
    }
}

/// A prefix of characters that need no escape anywhere, ending with a slash if it is not empty.
fn key_prefix(text: &str) -> Result<String, String> {
    let text = text.trim_end_matches('/');
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if text.is_empty() {
        return Ok(String::new());
    }
    let parts_are_good = text
        .split('/')
        .all(|part| !part.is_empty() && part != "." && part != ".." && part.chars().all(allowed));
    if parts_are_good && text.len() <= 512 {
        Ok(format!("{text}/"))
    } else {
        Err(
            "must have a prefix of letters, digits, dots, hyphens and underscores between single slashes"
                .to_owned(),
        )
    }
}

fn path_style(text: &str) -> Result<Option<bool>, String> {
    match text {
        "auto" => Ok(None),
        "true" => Ok(Some(true)),
        "false" => Ok(Some(false)),
        _ => Err("must be true, false or auto".to_owned()),
    }
}

fn s3_buffer(text: &str) -> Result<ByteSize, String> {
    let least = ByteSize::mib(16);
    text.parse::<ByteSize>()
        .ok()
        .filter(|size| *size >= least && *size <= ByteSize::gib(64))
        .ok_or_else(|| format!("must be a number of bytes from {least} to 64 GiB"))
}

/// Checks how long a redirect to storage is good for; nothing where downloads are streamed.
pub(super) fn download_redirect(settings: &Settings, checker: &mut Checker) -> Option<Duration> {
    const VARIABLE: &str = "MEDIA_DOWNLOAD_REDIRECT";
    match settings.download_redirect.as_str() {
        "off" => None,
        time => {
            let time = checker.duration(VARIABLE, time)?;
            checker.keep(VARIABLE, redirect_time(time))
        }
    }
}

/// Amazon takes signatures for a week at most.
fn redirect_time(time: Duration) -> Result<Duration, String> {
    if (Duration::from_secs(1)..=Duration::from_hours(24 * 7)).contains(&time) {
        Ok(time)
    } else {
        Err("must be off, or a time from 1s to 7days".to_owned())
    }
}

/// A path that a URL names.
pub(super) fn path_of(text: &str) -> Result<PathBuf, String> {
    if text.is_empty() || text.contains(['?', '#']) {
        Err("must name a path, without ? or #".to_owned())
    } else {
        Ok(PathBuf::from(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> Option<(String, String)> {
        match place(text) {
            Ok(Place::S3 { bucket, prefix }) => Some((bucket, prefix)),
            _ => None,
        }
    }

    #[test]
    fn buckets_and_prefixes_are_told_apart() {
        let owned = |bucket: &str, prefix: &str| Some((bucket.to_owned(), prefix.to_owned()));
        assert_eq!(parts("s3://media"), owned("media", ""));
        assert_eq!(parts("s3://media/"), owned("media", ""));
        assert_eq!(parts("s3://media/a"), owned("media", "a/"));
        assert_eq!(parts("s3://media/a/b_1.c/"), owned("media", "a/b_1.c/"));
    }

    #[test]
    fn odd_buckets_and_prefixes_are_refused() {
        for text in [
            "s3://",
            "s3:///a",
            "s3://ab",
            "s3://Media",
            "s3://media/a//b",
            "s3://media/../b",
            "s3://media/a b",
            "s3://media/ä",
            "s3://media?x=1",
            "s3:media",
        ] {
            assert_eq!(parts(text), None, "{text}");
        }
    }
}

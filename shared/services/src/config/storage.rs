//! Storage.

use std::{path::PathBuf, time::Duration};

use bytesize::ByteSize;
use clap::Args;
use media_storage::{S3Location, StorageUrl};

use super::checker::Checker;

/// The settings as text.
#[derive(Args, Clone)]
pub struct StorageSettings {
    /// The storage of bytes: file:directory, or s3://bucket/prefix with region, keys and endpoint as the AWS SDK
    /// reads them (AWS_REGION, AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3, …)
    #[arg(
        long,
        global = true,
        env = "MEDIA_STORAGE_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = "file:data/blobs"
    )]
    pub storage_url: String,

    /// Whether the bucket's name is part of the path of S3 requests rather than of the host: true, false, or auto
    /// (true with an endpoint other than Amazon's)
    #[arg(
        long,
        global = true,
        env = "MEDIA_S3_PATH_STYLE",
        value_name = "BOOL",
        default_value = "auto"
    )]
    pub s3_path_style: String,

    /// The memory of one program for bytes that are sent to S3, beside 256 KiB for each import and upload: 8 MiB or
    /// more for each concurrent import
    #[arg(
        long,
        global = true,
        env = "MEDIA_S3_BUFFER_BYTES",
        value_name = "BYTES",
        default_value = "128MiB"
    )]
    pub s3_buffer_bytes: String,

    /// Redirect downloads to a signed URL of S3 that is valid for this time; off streams them
    #[arg(
        long,
        global = true,
        env = "MEDIA_DOWNLOAD_REDIRECT",
        value_name = "TIME",
        default_value = "off"
    )]
    pub download_redirect: String,

    /// The largest media to import or upload, such as 500MiB
    #[arg(
        long,
        global = true,
        env = "MEDIA_MAX_BYTES",
        value_name = "BYTES",
        default_value = "10GiB"
    )]
    pub max_bytes: String,
}

impl StorageSettings {
    /// Checks the largest size of a media.
    pub(super) fn check_max_bytes(&self, checker: &mut Checker) -> Option<ByteSize> {
        checker.record("MEDIA_MAX_BYTES", max_bytes(&self.max_bytes))
    }

    pub(super) fn check(&self, checker: &mut Checker) -> Option<StorageUrl> {
        let path_style = checker.record("MEDIA_S3_PATH_STYLE", path_style(&self.s3_path_style));
        let buffer = checker.record("MEDIA_S3_BUFFER_BYTES", s3_buffer(&self.s3_buffer_bytes));
        let url = checker.record("MEDIA_STORAGE_URL", place(&self.storage_url))?;
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

    /// Checks the time for which a redirect to storage is valid; None if downloads are streamed.
    pub(super) fn check_download_redirect(&self, checker: &mut Checker) -> Option<Duration> {
        const VARIABLE: &str = "MEDIA_DOWNLOAD_REDIRECT";
        match self.download_redirect.as_str() {
            "off" => None,
            time => {
                let time = checker.duration(VARIABLE, time)?;
                checker.record(VARIABLE, redirect_time(time))
            }
        }
    }
}

/// The place that `MEDIA_STORAGE_URL` names.
enum Place {
    Directory(PathBuf),
    S3 { bucket: String, prefix: String },
}

fn place(text: &str) -> Result<Place, String> {
    if let Some(path) = text.strip_prefix("file:") {
        return super::checker::path(path.strip_prefix("//").unwrap_or(path)).map(Place::Directory);
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

/// Amazon accepts signatures for a week at most.
fn redirect_time(time: Duration) -> Result<Duration, String> {
    if (Duration::from_secs(1)..=Duration::from_hours(24 * 7)).contains(&time) {
        Ok(time)
    } else {
        Err("must be off, or a time from 1s to 7days".to_owned())
    }
}

fn max_bytes(text: &str) -> Result<ByteSize, String> {
    text.parse::<ByteSize>()
        .ok()
        .filter(|size| (1..=i64::MAX.unsigned_abs()).contains(&size.as_u64()))
        .ok_or_else(|| "must be a number of bytes, such as 1048576 or 500MiB".to_owned())
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

//! The location of the object storage.

use std::path::PathBuf;

use bytesize::ByteSize;

/// The location of the object storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// A directory, created if it does not exist.
    Directory(PathBuf),
    /// A bucket in S3 or in an S3-compatible store.
    S3(S3Location),
}

/// A bucket and prefix in S3, and the settings of the client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket, which must exist.
    pub bucket: String,
    /// The beginning of every object's key: empty, or text that ends with a slash.
    pub prefix: String,
    /// Whether the bucket's name is part of the path. If None, it is when an endpoint is configured.
    pub path_style: Option<bool>,
    /// The memory for parts that are being filled or uploaded.
    pub buffer: ByteSize,
}

//! The place of the objects.

use std::path::PathBuf;

use bytesize::ByteSize;

/// The place of the objects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StorageUrl {
    /// A directory, created if it is not there.
    Directory(PathBuf),
    /// A bucket of S3, or of a store that speaks its protocol.
    S3(S3Location),
}

/// A place in S3, and how to speak to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct S3Location {
    /// The bucket, which must exist.
    pub bucket: String,
    /// The beginning of every object's key: empty, or text that ends with a slash.
    pub prefix: String,
    /// Whether the bucket's name is part of the path; None leaves it to the endpoint.
    pub path_style: Option<bool>,
    /// The memory for bytes on their way.
    pub buffer: ByteSize,
}

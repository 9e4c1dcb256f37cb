//! Stored objects: their names, their writers, and how far an interrupted write has come.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::{ids::BlobId, job::Lease, media::Sha256};

/// The name of an object in storage. Made of the service's own identifiers, never of a client's text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BlobKey(String);

impl BlobKey {
    /// The key of a blob. The last digits of a UUIDv7 are random, so they spread the objects
    /// evenly over 256 directories.
    pub fn of(id: BlobId) -> Self {
        let hex = id.0.simple().to_string();
        Self(format!("{}/{hex}", &hex[30..]))
    }

    /// A key as the table `blobs` holds it.
    pub fn from_stored(key: &str) -> Self {
        Self(key.to_owned())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The writer of a blob, which decides how long the blob stays staged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOwner {
    /// An attempt at a job: the blob is staged for as long as the attempt holds its lease.
    Attempt(Lease),
    /// An upload: the blob is staged for as long as it is renewed.
    Upload,
}

/// A blob that may be written.
#[derive(Clone, Debug)]
pub struct StagedBlob {
    /// Its identifier.
    pub id: BlobId,
    /// Its name in storage.
    pub key: BlobKey,
    /// The writer. A blob that an attempt has left to the next one is no longer its own.
    pub owner: BlobOwner,
    /// The project that the bytes count for.
    pub project: Option<String>,
    /// The bytes reserved in the project's quota when this was read.
    pub reserved: u64,
}

/// The first bytes of an incomplete object, which outlast their writer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResumePoint {
    /// The number of bytes.
    pub bytes: u64,
    /// The place where storage has them.
    pub location: ResumeLocation,
}

/// The place where storage has the first bytes of an incomplete object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "storage", rename_all = "snake_case")]
pub enum ResumeLocation {
    /// The file that will be the object.
    Disk,
    /// The first parts of a multipart upload.
    S3 {
        /// The upload's identifier.
        upload: String,
        /// The size of each part, in bytes.
        part_bytes: u64,
        /// The digest of the entity tags of the parts, one after the other.
        tags: Sha256,
    },
}

/// The progress of a job's attempts with an object, for the next attempt to resume from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// The bytes that storage has.
    pub prefix: ResumePoint,
    /// The state of SHA-256 after them, in hexadecimal digits.
    pub sha256_state: String,
    /// The states of other digests that the bytes must have, by their names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub more_states: BTreeMap<String, String>,
    /// The origin's validators, which tell whether it still has the same bytes. Read by the worker alone.
    pub origin: serde_json::Value,
}

/// An object that is stored whole, as its sender promised it, and is not recorded yet.
#[derive(Clone, Debug)]
pub struct StoredBlob {
    /// The blob; staged.
    pub blob_id: BlobId,
    /// Its size, in bytes.
    pub size: u64,
    /// Its digest.
    pub sha256: Sha256,
    /// Its first bytes.
    pub head: Vec<u8>,
}

//! Media: their paths, names, digests and metadata, and the conditions of writes to them.

mod client_meta;
mod digest;
mod filename;
mod metadata;
mod path;
mod precondition;
mod sha256;

pub use client_meta::{ClientMeta, ClientMetaError, MAX_META_BYTES, MAX_META_DEPTH};
pub use digest::{DigestFieldError, ExpectedDigests, Md5, Md5Error, Sha512, Sha512Error};
pub use filename::Filename;
pub use metadata::{Dimensions, Metadata, Orientation};
pub use path::{MediaPath, PathError};
pub use precondition::{PreconditionFailed, WritePrecondition};
pub use sha256::{Sha256, Sha256Error};

pub use crate::name_rules::{MAX_NAME_BYTES, NameError};

//! Media: their paths, names, digests and metadata, and the conditions of writes to them.

mod filename;
mod metadata;
mod path;
mod precondition;
mod sha256;

pub use filename::Filename;
pub use metadata::{Dimensions, Metadata, Orientation};
pub use path::{MediaPath, PathError};
pub use precondition::{PreconditionFailed, WritePrecondition};
pub use sha256::{Sha256, Sha256Error};

pub use crate::name_rules::{MAX_NAME_BYTES, NameError};

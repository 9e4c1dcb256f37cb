//! Typed identifiers. All are UUIDv7, so their order is the order of creation.

use sea_orm::{DbErr, DeriveValueType, TryFromU64};
use serde::Serialize;
use uuid::Uuid;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, DeriveValueType, Serialize,
        )]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier, later in order than all that this process made before.
            pub fn generate() -> Self {
                Self(Uuid::now_v7())
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        // SeaORM asks for this of every primary key, for databases that number rows themselves.
        impl TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, DbErr> {
                Err(DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    };
}

id!(
    /// Names a job.
    JobId
);
id!(
    /// Names a media. It stays the same when the media's bytes are replaced.
    MediaId
);
id!(
    /// Names a stored object.
    BlobId
);
id!(
    /// Names one run of a worker process.
    WorkerId
);

//! Typed identifiers. All are UUIDv7, so their order is the order of creation.

use chrono::{DateTime, Utc};
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

/// Identifiers of what has a time of creation that lists are sorted by.
macro_rules! dated_id {
    ($(#[$meta:meta])* $name:ident) => {
        id!($(#[$meta])* $name);

        impl $name {
            /// A new identifier of what was created at that time, to the microsecond: in the order of
            /// identifiers, such times come in their own order.
            pub fn at(created: DateTime<Utc>) -> Self {
                Self(created_at(created, Uuid::now_v7()))
            }
        }
    };
}

dated_id!(
    /// Names a job.
    JobId
);
dated_id!(
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

/// The least identifier that what was created at that time can have; for the bounds of a search.
pub fn least_at(created: DateTime<Utc>) -> Uuid {
    created_at(created, Uuid::nil())
}

/// A UUIDv7 of that time, with the random bits of another: 48 bits of milliseconds, then the rest of the
/// time in 12 bits (RFC 9562 §6.2, method 3).
fn created_at(created: DateTime<Utc>, random: Uuid) -> Uuid {
    // Nothing is created before 1970.
    let milliseconds = u64::try_from(created.timestamp_millis()).unwrap_or_default();
    let micros = created.timestamp_subsec_micros() % 1000;
    let fraction = micros * 4096 / 1000;
    let [_, _, _, _, _, _, _, _, rest @ ..] = random.into_bytes();
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&rest);
    // Twelve bits; the builder sets the four before them.
    let [_, _, high, low] = fraction.to_be_bytes();
    bytes[..2].copy_from_slice(&[high, low]);
    uuid::Builder::from_unix_timestamp_millis(milliseconds, &bytes).into_uuid()
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn identifiers_come_in_the_order_of_their_times() {
        let begin = DateTime::from_timestamp(1_795_684_082, 0).unwrap();
        // Across the borders of milliseconds and of seconds.
        let times = [0, 1, 2, 499, 998, 999, 1000, 1001, 999_999, 1_000_000]
            .map(|micros| begin + TimeDelta::microseconds(micros));
        for pair in times.windows(2) {
            for _ in 0..100 {
                let (first, second) = (JobId::at(pair[0]), JobId::at(pair[1]));
                assert!(first < second, "{first} {second}");
                assert!(least_at(pair[0]) < first.0 && first.0 < least_at(pair[1]));
                assert_eq!(first.0.get_version_num(), 7);
                assert_eq!(first.0.get_variant(), uuid::Variant::RFC4122);
            }
        }
    }

    #[test]
    fn two_of_one_time_differ() {
        let now = Utc::now();
        let all: std::collections::HashSet<MediaId> =
            (0..10_000).map(|_| MediaId::at(now)).collect();
        assert_eq!(all.len(), 10_000);
    }

    #[test]
    fn an_identifier_tells_its_time() {
        let time = DateTime::from_timestamp_micros(1_795_684_082_123_456).unwrap();
        let (seconds, nanos) = JobId::at(time).0.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_795_684_082, 123));
    }
}

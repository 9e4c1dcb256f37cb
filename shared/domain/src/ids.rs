//! Typed identifiers. All are UUIDv7, so their order is the order of creation.

use std::sync::atomic::{AtomicU32, Ordering};

use chrono::{DateTime, Utc};
use serde::Serialize;
use uuid::Uuid;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
        #[cfg_attr(feature = "database", derive(sea_orm::DeriveValueType))]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl $name {
            /// A new identifier, later in order than all identifiers that this process made before.
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
        #[cfg(feature = "database")]
        impl sea_orm::TryFromU64 for $name {
            fn try_from_u64(_: u64) -> Result<Self, sea_orm::DbErr> {
                Err(sea_orm::DbErr::ConvertFromU64(stringify!($name)))
            }
        }
    };
}

/// Identifiers of records that lists sort by their time of creation.
macro_rules! dated_id {
    ($(#[$meta:meta])* $name:ident) => {
        id!($(#[$meta])* $name);

        impl $name {
            /// A new identifier of a record that was created at that time. Identifiers are in the order of their times,
            /// to the microsecond; those of one time are in the order in which this process made them.
            pub fn at(created: DateTime<Utc>) -> Self {
                static MADE: AtomicU32 = AtomicU32::new(0);
                let made = MADE.fetch_add(1, Ordering::Relaxed).to_be_bytes();
                let mut distinction: [u8; 8] = rand::random();
                distinction[..4].copy_from_slice(&made);
                Self(created_at(created, distinction))
            }
        }
    };
}

dated_id!(
    /// Identifies a job.
    JobId
);
dated_id!(
    /// Identifies a media. It stays the same when the media's bytes are replaced.
    MediaId
);
id!(
    /// Identifies a stored object.
    BlobId
);
id!(
    /// Identifies one run of a worker process.
    WorkerId
);

/// The least identifier of a record that was created at that time; for the bounds of a search.
pub fn least_at(created: DateTime<Utc>) -> Uuid {
    created_at(created, [0; 8])
}

/// A UUIDv7 of that time: 48 bits of milliseconds, the rest of the time in 12 bits (RFC 9562 §6.2, method 3), then
/// `distinction`, which tells it from others of its time (its first two bits are lost).
fn created_at(created: DateTime<Utc>, distinction: [u8; 8]) -> Uuid {
    // Nothing is created before 1970.
    let milliseconds = u64::try_from(created.timestamp_millis()).unwrap_or_default();
    let micros = created.timestamp_subsec_micros() % 1000;
    let fraction = micros * 4096 / 1000;
    let mut bytes = [0; 10];
    bytes[2..].copy_from_slice(&distinction);
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
    fn those_of_one_time_come_in_the_order_of_their_making() {
        let now = Utc::now();
        let all: Vec<MediaId> = (0..10_000).map(|_| MediaId::at(now)).collect();
        assert!(all.is_sorted_by(|one, next| one < next));
    }

    #[test]
    fn an_identifier_tells_its_time() {
        let time = DateTime::from_timestamp_micros(1_795_684_082_123_456).unwrap();
        let (seconds, nanos) = JobId::at(time).0.get_timestamp().unwrap().to_unix();
        assert_eq!((seconds, nanos / 1_000_000), (1_795_684_082, 123));
    }
}

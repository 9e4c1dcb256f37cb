//! The kinds of faults.

use std::{fmt, time::SystemTime};

use media_testkit::file_faults::{Area, FileError};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    KillWorker,
    KillApi,
    FreezeWorker,
    FreezeApi,
    StopWorker,
    StopApi,
    FlushRedis,
    KillRedis,
    RestartDatabase,
    StopStore,
    StopOrigin,
    KillService,
    FreezeService,
    StopService,
    FailFiles(Area, FileError),
}

/// The faults that were made.
pub(crate) struct Faults {
    /// The number of faults of each kind.
    pub(crate) counts: Vec<(Fault, usize)>,
    /// The periods in which statements of workers may be delayed after their time was taken, by a frozen
    /// worker or a stopped database.
    pub(crate) outages: Vec<(SystemTime, SystemTime)>,
}

impl Faults {
    /// Returns a count of zero for each of these kinds.
    pub(crate) fn none_of(kinds: &[Fault]) -> Self {
        Self {
            counts: kinds.iter().map(|fault| (*fault, 0)).collect(),
            outages: Vec::new(),
        }
    }

    /// Counts a fault that was made between two times.
    pub(crate) fn add(&mut self, fault: Fault, from: SystemTime, to: SystemTime) {
        for (kind, count) in &mut self.counts {
            *count += usize::from(*kind == fault);
        }
        if matches!(
            fault,
            Fault::FreezeWorker | Fault::RestartDatabase | Fault::StopStore
        ) {
            self.outages.push((from, to));
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::KillWorker => "a worker killed (SIGKILL)",
            Self::KillApi => "an API killed (SIGKILL)",
            Self::FreezeWorker => "a worker frozen for longer than its lease (SIGSTOP)",
            Self::FreezeApi => "an API frozen (SIGSTOP)",
            Self::StopWorker => "a worker replaced (SIGTERM)",
            Self::StopApi => "an API restarted (SIGTERM)",
            Self::FlushRedis => "Redis flushed",
            Self::KillRedis => "Redis stopped",
            Self::RestartDatabase => "PostgreSQL restarted",
            Self::StopStore => "the object store stopped, and a worker killed meanwhile",
            Self::StopOrigin => "the origin stopped",
            Self::KillService => "the service killed (SIGKILL)",
            Self::FreezeService => "the service frozen (SIGSTOP)",
            Self::StopService => "the service restarted (SIGTERM)",
            Self::FailFiles(Area::Database, FileError::Io) => "calls on the database fail (EIO)",
            Self::FailFiles(Area::Database, FileError::NoSpace) => {
                "calls on the database fail (ENOSPC)"
            }
            Self::FailFiles(Area::Blobs, FileError::Io) => "calls on blobs fail (EIO)",
            Self::FailFiles(Area::Blobs, FileError::NoSpace) => "calls on blobs fail (ENOSPC)",
        })
    }
}

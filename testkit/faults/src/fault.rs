//! The kinds of faults.

use std::{fmt, time::SystemTime};

use media_testkit::file_faults::{Area, FileError};

/// A kind of fault.
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
    /// Each kind, and how often it was made.
    pub(crate) counts: Vec<(Fault, usize)>,
    /// From when to when clocks and statements of workers could be out of step: a frozen worker or a
    /// database that is away may delay a statement after its time was taken.
    pub(crate) outages: Vec<(SystemTime, SystemTime)>,
}

impl Faults {
    /// None of these yet.
    pub(crate) fn none_of(kinds: &[Fault]) -> Self {
        Self {
            counts: kinds.iter().map(|fault| (*fault, 0)).collect(),
            outages: Vec::new(),
        }
    }

    /// Counts one that was made between two times.
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
            Self::KillRedis => "Redis away",
            Self::RestartDatabase => "PostgreSQL restarted",
            Self::StopStore => "the object store away, and a worker killed meanwhile",
            Self::StopOrigin => "the origin away",
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

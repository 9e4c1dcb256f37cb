//! The exit codes of the programs: [`media_migrations::exit`], with the errors of this crate.

use std::{error::Error, process::ExitCode};

use media_migrations::exit::{self, ExitKind};

use crate::{config::ConfigErrors, wakeups::redis::RedisQueueError};
use media_storage::StorageError;
use media_tls::TrustError;

/// Reports to the operator why a program ends. Returns the exit code.
pub fn report(program: &str, error: &(dyn Error + 'static)) -> ExitCode {
    exit::report(program, error, classify(error))
}

fn classify(error: &(dyn Error + 'static)) -> Option<ExitKind> {
    exit::causes(error).find_map(|cause| {
        if cause.is::<ConfigErrors>() || cause.is::<TrustError>() || cause.is::<RedisQueueError>() {
            return Some(ExitKind::Configuration);
        }
        match cause.downcast_ref::<StorageError>()? {
            StorageError::Refused(_) | StorageError::NotFound => Some(ExitKind::Configuration),
            StorageError::Unavailable(_) => Some(ExitKind::Unavailable),
            StorageError::Full => Some(ExitKind::Io),
            StorageError::Io(error) => exit::classify(error),
        }
    })
}

//! The errors of commands, and their exit codes.

use std::{fmt, process::ExitCode};

use media_services::exit;

use crate::client::ClientError;

/// The exit code of a mistake on the command line, which clap uses as well.
const USAGE_EXIT_CODE: u8 = 2;

/// An error of a command itself.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The command line is wrong.
    Usage(String),
    /// The command was right, and failed.
    Failed(String),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(sentence) | Self::Failed(sentence) => f.write_str(sentence),
        }
    }
}

impl std::error::Error for CommandError {}

/// Creates an error about the command line.
pub(crate) fn usage(sentence: impl Into<String>) -> anyhow::Error {
    CommandError::Usage(sentence.into()).into()
}

/// Creates an error of a command that was right.
pub(crate) fn failed(sentence: impl Into<String>) -> anyhow::Error {
    CommandError::Failed(sentence.into()).into()
}

/// Reports an error on standard error. Returns the exit code.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    let code = if let Some(error) = error.downcast_ref::<CommandError>() {
        match error {
            CommandError::Usage(_) => USAGE_EXIT_CODE,
            CommandError::Failed(_) => 1,
        }
    } else if let Some(error) = error.downcast_ref::<ClientError>() {
        error
            .kind()
            .map_or(1, media_migrations::exit::ExitKind::code)
    } else {
        return exit::report("media", error.as_ref());
    };
    eprintln!("media: {error:#}");
    ExitCode::from(code)
}

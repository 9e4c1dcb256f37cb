//! One attempt at an import: its parameters, and the check of the media type.

use media_database::entities::{job, media};
use media_domain::job::{ImportArguments, JobClass, Lease, MediaImport, MediaRange};
use media_ingest::Expectation;

use super::{failure::ImportError, source_description::SourceDescription};
use crate::{active_jobs::ActiveJob, fetch::Target};

/// One attempt at an import.
pub(super) struct Attempt<'a> {
    pub(super) arguments: &'a ImportArguments,
    pub(super) target: &'a Target,
    pub(super) expectation: Expectation,
    pub(super) lease: Lease,
    pub(super) project: Option<&'a str>,
    pub(super) job: &'a ActiveJob,
    /// The media to refresh, if there is one at the path.
    pub(super) present: Option<&'a media::Model>,
}

impl Attempt<'_> {
    /// Refuses a type that is not in `accept_types`.
    pub(super) fn check_type(
        &self,
        source: &SourceDescription,
        bytes: &[u8],
    ) -> Result<(), ImportError> {
        let Some(accepted) = &self.arguments.accept_types else {
            return Ok(());
        };
        let filename = self
            .arguments
            .filename
            .as_ref()
            .or(source.filename.as_ref());
        let found = source.media_type(bytes, filename).mime;
        if accepted.iter().any(|range| range.covers(&found)) {
            return Ok(());
        }
        let accepted: Vec<&str> = accepted.iter().map(MediaRange::as_str).collect();
        Err(ImportError::TypeNotAllowed {
            found,
            accepted: accepted.join(", "),
        })
    }
}

/// Reads the arguments of a job, of every version up to this program's own.
pub(super) fn read_arguments(job: &job::Model) -> Result<ImportArguments, ImportError> {
    if job.job_class != MediaImport::NAME || job.arguments_version > MediaImport::ARGUMENTS_VERSION
    {
        return Err(ImportError::UnsupportedClass {
            class: job.job_class.clone(),
            version: job.arguments_version,
        });
    }
    serde_json::from_value(job.arguments.clone()).map_err(ImportError::UnreadableArguments)
}

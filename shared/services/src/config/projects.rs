//! The limits of projects.

use bytesize::ByteSize;
use clap::Args;

use super::checker::Checker;
use media_domain::job::{Priority, PriorityError};

/// The settings as text.
#[derive(Args, Clone)]
pub struct ProjectSettings {
    /// The largest number of bytes that one project may store, such as 500GiB, or off
    #[arg(
        long,
        global = true,
        env = "MEDIA_PROJECT_MAX_BYTES",
        value_name = "BYTES",
        default_value = "off"
    )]
    pub project_max_bytes: String,

    /// The largest number of unfinished jobs of one project, or off
    #[arg(
        long,
        global = true,
        env = "MEDIA_PROJECT_MAX_JOBS",
        value_name = "N",
        default_value = "100000"
    )]
    pub project_max_jobs: String,

    /// The highest priority, -100 to 100, that callers of the role `user` may give to a job
    #[arg(
        long,
        global = true,
        env = "MEDIA_USER_MAX_PRIORITY",
        value_name = "N",
        default_value = "100",
        allow_hyphen_values = true
    )]
    pub user_max_priority: String,
}

/// The limits of one project. Without authentication there are no projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectLimits {
    /// Bytes of its media and of writes in progress.
    pub stored_bytes: Option<u64>,
    /// The number of unfinished jobs.
    pub max_unfinished_jobs: Option<u32>,
    /// The highest priority that callers of the role `user` may give to a job.
    pub user_max_priority: Priority,
}

impl ProjectSettings {
    pub(super) fn check(&self, checker: &mut Checker) -> Option<ProjectLimits> {
        let stored_bytes = checker.record(
            "MEDIA_PROJECT_MAX_BYTES",
            limit(&self.project_max_bytes, |text| {
                let size = text.parse::<ByteSize>().ok()?.as_u64();
                (1..=i64::MAX.unsigned_abs())
                    .contains(&size)
                    .then_some(size)
            }),
        );
        let max_unfinished_jobs = checker.record(
            "MEDIA_PROJECT_MAX_JOBS",
            limit(&self.project_max_jobs, |text| {
                text.parse()
                    .ok()
                    .filter(|jobs| (1..=10_000_000).contains(jobs))
            }),
        );
        let user_max_priority = checker.record(
            "MEDIA_USER_MAX_PRIORITY",
            self.user_max_priority
                .parse()
                .ok()
                .and_then(|number| Priority::new(number).ok())
                .ok_or_else(|| PriorityError.to_string()),
        );
        Some(ProjectLimits {
            stored_bytes: stored_bytes?,
            max_unfinished_jobs: max_unfinished_jobs?,
            user_max_priority: user_max_priority?,
        })
    }
}

fn limit<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, String> {
    if text == "off" {
        return Ok(None);
    }
    parse(text)
        .map(Some)
        .ok_or_else(|| "must be a number, such as 5000 or for bytes 500GiB, or off".to_owned())
}

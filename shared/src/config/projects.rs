//! What one project may take up.

use bytesize::ByteSize;

use super::{Settings, check::Checker};
use crate::job::Priority;

/// What one project may take up; without authentication there are no projects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProjectLimits {
    /// Bytes of its media, and of what is being written.
    pub stored_bytes: Option<u64>,
    /// Unfinished jobs.
    pub open_jobs: Option<u32>,
    /// The highest priority that callers of the role `user` may give to a job.
    pub user_max_priority: Priority,
}

pub(super) fn check(settings: &Settings, checker: &mut Checker) -> Option<ProjectLimits> {
    let stored_bytes = checker.keep(
        "MEDIA_PROJECT_MAX_BYTES",
        limit(&settings.project_max_bytes, |text| {
            let size = text.parse::<ByteSize>().ok()?.as_u64();
            (1..=i64::MAX.unsigned_abs())
                .contains(&size)
                .then_some(size)
        }),
    );
    let open_jobs = checker.keep(
        "MEDIA_PROJECT_MAX_JOBS",
        limit(&settings.project_max_jobs, |text| {
            text.parse()
                .ok()
                .filter(|jobs| (1..=10_000_000).contains(jobs))
        }),
    );
    let user_max_priority = checker.keep(
        "MEDIA_USER_MAX_PRIORITY",
        settings
            .user_max_priority
            .parse()
            .ok()
            .and_then(Priority::new)
            .ok_or_else(|| "must be a number from -100 to 100".to_owned()),
    );
    Some(ProjectLimits {
        stored_bytes: stored_bytes?,
        open_jobs: open_jobs?,
        user_max_priority: user_max_priority?,
    })
}

fn limit<T>(text: &str, parse: impl FnOnce(&str) -> Option<T>) -> Result<Option<T>, String> {
    if text == "off" {
        return Ok(None);
    }
    parse(text)
        .map(Some)
        .ok_or_else(|| "must be a number, such as 5000 or for bytes 500GiB, or off".to_owned())
}

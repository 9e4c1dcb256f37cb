//! Wakes a worker for a job.

use media_database::entities::job;
use media_domain::job::JobStatus;
use media_services::Services;

/// Wakes a worker if the job can run now.
pub(super) fn wake_for(services: &Services, job: &job::Model) {
    if job.status == JobStatus::Pending {
        services.notifier.notify(1);
    }
}

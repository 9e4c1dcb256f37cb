//! Wakes a worker for a job.

use media_shared::{entities::job, job::JobStatus, services::Services};

/// Wakes a worker if the job can run now.
pub(super) fn wake_for(services: &Services, job: &job::Model) {
    if job.status == JobStatus::Pending {
        services.tickets.post(1);
    }
}

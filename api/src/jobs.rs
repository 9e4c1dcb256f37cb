//! `/jobs`: one file per operation.

use std::sync::Arc;

use media_domain::job::Priority;
use media_services::Services;
use tokio_util::sync::CancellationToken;

mod attribute_checks;
mod create;
mod delete;
mod document;
mod error;
mod events;
mod fields;
mod find;
pub(crate) mod job_watch;
mod list;
mod show;
mod signal;
mod update;
mod wake;

use create::CreateJob;
use delete::DeleteJob;
use events::JobEvents;
pub(crate) use fields::JobResource;
use job_watch::JobWatch;
use list::ListJobs;
use show::ShowJob;
use signal::SignalJob;
use update::UpdateJob;

use crate::operation_group::operations;

operations! {
    /// The operations on jobs.
    JobOperations {
        create: CreateJob,
        list: ListJobs,
        show: ShowJob,
        update: UpdateJob,
        delete: DeleteJob,
        signal: SignalJob,
        events: JobEvents,
    }
}

/// Creates the operations. Event streams end at `shutdown`.
pub(crate) fn operations(
    services: &Arc<Services>,
    user_max_priority: Priority,
    shutdown: CancellationToken,
) -> JobOperations {
    let services = || Arc::clone(services);
    JobOperations {
        create: CreateJob {
            services: services(),
            user_max_priority,
        },
        list: ListJobs {
            services: services(),
        },
        show: ShowJob {
            services: services(),
        },
        update: UpdateJob {
            services: services(),
            user_max_priority,
        },
        delete: DeleteJob {
            services: services(),
        },
        signal: SignalJob {
            services: services(),
        },
        events: JobEvents {
            watch: JobWatch::start(services().jobs.clone(), shutdown.clone()),
            services: services(),
            shutdown,
        },
    }
}

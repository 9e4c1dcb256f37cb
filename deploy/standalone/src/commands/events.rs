//! `media events`: follows jobs until they end.

use std::process::ExitCode;

use chrono::Local;
use clap::Args;
use futures_util::{StreamExt as _, stream};
use media_services::config::Settings;
use serde_json::json;

use super::{
    jobs::done,
    selection::{JobSelector, select_jobs},
};
use crate::{
    client::{ApiClient, ClientError, JobEvent},
    output::{Format, OutputArguments, print_json, print_line},
    server_arguments::ServerArguments,
    target::Target,
};

/// The most streams at the same time; the service allows 64 by default.
const MAX_CONCURRENT_STREAMS: usize = 32;

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media events 01a209d3-ac64-703f-91dc-9affcb76ba68\n\
    \u{20} media events status=running --json\n\
    \u{20} media events --quiet $(media jobs status=pending -q) && echo all imported\n\n\
    The exit code is 0 if all jobs have succeeded, and 1 if one has failed or was cancelled. Jobs that are created \
    later are not followed.")]
pub(crate) struct EventsArguments {
    /// The ids of jobs, or filters that select them (see media jobs --help)
    #[arg(required = true, value_name = "ID|FILTER")]
    selectors: Vec<JobSelector>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// Runs the command.
pub(crate) async fn run(
    settings: &Settings,
    arguments: EventsArguments,
) -> anyhow::Result<ExitCode> {
    media_telemetry::start_command();
    let target = Target::for_requests(settings, &arguments.server).await?;
    if target.is_own() {
        eprintln!(
            "no service runs here, so jobs that have not ended stay as they are; start it with media"
        );
    }
    let format = Format::from(arguments.output);
    let done = follow_all(&target, arguments.selectors, format).await;
    let all_succeeded = target.finish(done).await?;
    Ok(if all_succeeded {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Follows all selected jobs. Returns whether all have succeeded.
async fn follow_all(
    target: &Target,
    selectors: Vec<JobSelector>,
    format: Format,
) -> anyhow::Result<bool> {
    let client = &target.client;
    let ids = select_jobs(client, selectors).await?;
    if ids.is_empty() && format == Format::Text {
        eprintln!("no job matches");
    }
    let mut followed = stream::iter(ids)
        .map(|id| async move {
            let followed = follow(client, &id, format, target.is_own()).await;
            (id, followed)
        })
        .buffer_unordered(MAX_CONCURRENT_STREAMS);
    let mut all_succeeded = true;
    while let Some((id, followed)) = followed.next().await {
        match followed {
            Ok(has_succeeded) => all_succeeded &= has_succeeded,
            Err(error) => {
                eprintln!("media: {id}: {error}");
                all_succeeded = false;
            }
        }
    }
    Ok(all_succeeded)
}

/// Follows a job. Returns whether it has succeeded. If no service runs, shows only its present state.
async fn follow(
    client: &ApiClient,
    id: &str,
    format: Format,
    is_own: bool,
) -> Result<bool, ClientError> {
    if is_own {
        let job = client.job(id).await?;
        let has_succeeded = job.text("status") == "succeeded";
        let name = "progress".to_owned();
        write(
            id,
            &JobEvent {
                name,
                job: Some(job),
            },
            format,
        );
        return Ok(has_succeeded);
    }
    let mut has_succeeded = false;
    let mut last_status = None;
    let on_event = |event: JobEvent| {
        let status = event
            .job
            .as_ref()
            .map(|job| job.text("status").into_owned());
        has_succeeded = status.as_deref() == Some("succeeded");
        // The end repeats the last state, unless it is the only event.
        let is_repeated = event.name == "end" && last_status == status && status.is_some();
        if !is_repeated || format == Format::Json {
            write(id, &event, format);
        }
        last_status = status;
    };
    client.follow(id, on_event).await?;
    Ok(has_succeeded)
}

fn write(id: &str, event: &JobEvent, format: Format) {
    match format {
        Format::Quiet => {}
        Format::Json => print_json(&json!({ "event": event.name, "id": id, "job": event.job })),
        Format::Text => {
            let time = Local::now().format("%H:%M:%S");
            print_line(&format!("{time}  {id}  {}", state(event)));
        }
    }
}

fn state(event: &JobEvent) -> String {
    let Some(job) = &event.job else {
        return "deleted".to_owned();
    };
    let (status, error) = (job.text("status"), job.text("error"));
    let detail = job.text("error_detail");
    match (&*status, &*error) {
        ("running", _) => format!("running {}", done(job)),
        // The error of an earlier attempt may still be there.
        ("pending" | "scheduled" | "failed", error) if !error.is_empty() => {
            format!("{status}: {error}: {detail}")
        }
        _ => status.into_owned(),
    }
}

//! `media jobs`: lists jobs, or shows one.

use std::process::ExitCode;

use chrono::{DateTime, Utc};
use clap::Args;
use media_services::config::Settings;
use serde_json::Value;

use super::{
    list::List,
    list_arguments::ListArguments,
    selection::{JobSelector, split},
};
use crate::{
    client::{Resource, names},
    command_error::usage,
    output::{Format, ListOutputArguments, age, print_json, print_line, size},
    server_arguments::ServerArguments,
    target::Target,
};

const JOBS: List = List {
    name: "jobs",
    columns: &["ID", "STATUS", "DONE", "CREATED", "ERROR", "MEDIA", "URL"],
    row,
    reference: |job| job.id.clone(),
};
/// The attributes of a job that are times.
const TIMES: [&str; 5] = [
    "scheduled_at",
    "created_at",
    "updated_at",
    "started_at",
    "finished_at",
];

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media jobs\n\
    \u{20} media jobs status=failed created_at__gte=-1h\n\
    \u{20} media jobs status__in=pending,running --sort priority --json\n\
    \u{20} media jobs 01a209d3-ac64-703f-91dc-9affcb76ba68\n\n\
    Filters are those of GET /jobs, such as id, status, error and created_at, with __in, __gte, __lte and __prefix \
    where they make sense; /docs of the service lists them.")]
pub(crate) struct JobsArguments {
    /// The id of a job to show in full, or filters of the list: NAME=VALUE, where times may be relative to now (-1h)
    #[arg(value_name = "ID|FILTER")]
    selectors: Vec<JobSelector>,
    #[command(flatten)]
    list: ListArguments,
    #[command(flatten)]
    output: ListOutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// Runs the command.
pub(crate) async fn run(settings: &Settings, arguments: JobsArguments) -> anyhow::Result<ExitCode> {
    media_telemetry::start_command();
    let (ids, filters) = split(arguments.selectors.clone());
    if !ids.is_empty() && !filters.is_empty() {
        return Err(usage("give ids or filters, not both"));
    }
    let target = Target::for_requests(settings, &arguments.server).await?;
    let done = if ids.is_empty() {
        JOBS.print(&target, &arguments.list, &filters, arguments.output.into())
            .await
    } else {
        show(&target, &ids, arguments.output.into()).await
    };
    target.finish(done).await?;
    Ok(ExitCode::SUCCESS)
}

fn row(job: &Resource, now: DateTime<Utc>) -> Vec<String> {
    let null = Value::Null;
    let arguments = job.attributes.get("arguments").unwrap_or(&null);
    vec![
        job.id.clone(),
        job.text("status").into_owned(),
        done(job),
        age(&job.text("created_at"), now),
        job.text("error").into_owned(),
        names::path_of(arguments),
        names::printable(arguments["url"].as_str().unwrap_or_default()).into_owned(),
    ]
}

/// The progress of a job: in percent if the size is known, or else in bytes.
pub(super) fn done(job: &Resource) -> String {
    match (job.number("bytes_total"), job.number("bytes_done")) {
        (None, Some(bytes)) if bytes > 0 => size(bytes),
        _ => format!("{}%", job.number("progress").unwrap_or_default()),
    }
}

async fn show(target: &Target, ids: &[String], format: Format) -> anyhow::Result<()> {
    for (n, id) in ids.iter().enumerate() {
        let job = target.client.job(id).await?;
        match format {
            Format::Json => print_json(&job),
            Format::Quiet => print_line(&job.id),
            Format::Text => {
                if n > 0 {
                    print_line("");
                }
                show_attributes(&job);
            }
        }
    }
    Ok(())
}

/// Prints a line for each attribute that has a value.
fn show_attributes(job: &Resource) {
    let now = Utc::now();
    print_line(&format!("{:<14}{}", "id", job.id));
    for (name, value) in &job.attributes {
        let text = match value {
            Value::Null => continue,
            Value::Object(members) => {
                for (member, value) in members {
                    let value = match value {
                        Value::String(text) => text.clone(),
                        other => other.to_string(),
                    };
                    print_line(&format!("{member:<14}{}", names::printable(&value)));
                }
                continue;
            }
            Value::String(text) if TIMES.contains(&name.as_str()) => {
                format!("{text} ({})", age(text, now))
            }
            _ => job.text(name).into_owned(),
        };
        print_line(&format!("{name:<14}{text}"));
    }
}

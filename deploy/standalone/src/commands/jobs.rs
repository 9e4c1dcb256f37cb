//! `media jobs`: lists jobs, or shows one.

use std::process::ExitCode;

use chrono::Utc;
use clap::Args;
use media_services::config::Settings;
use serde_json::Value;

use super::{
    list_arguments::{ListArguments, report_more},
    selection::{JobSelector, split},
};
use crate::{
    client::{Resource, names},
    command_error::usage,
    filters::Filter,
    output::{Format, ListOutputArguments, Table, age, print_json, print_line, size},
    server_arguments::ServerArguments,
    target::Target,
};

/// The columns of the table.
const COLUMNS: [&str; 7] = ["ID", "STATUS", "DONE", "CREATED", "ERROR", "MEDIA", "URL"];
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
    Filters are those of GET /jobs: id, job_class, priority, status, progress, retry_count, error, unicity, \
    scheduled_at, created_at, updated_at, with __in, __gte and __lte where they make sense.")]
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
        list(&target, &arguments, &filters).await
    } else {
        show(&target, &ids, arguments.output.into()).await
    };
    target.finish(done).await?;
    Ok(ExitCode::SUCCESS)
}

async fn list(
    target: &Target,
    arguments: &JobsArguments,
    filters: &[Filter],
) -> anyhow::Result<()> {
    let format = Format::from(arguments.output);
    let query = arguments.list.query(filters, format == Format::Text);
    if arguments.list.count {
        print_line(&target.client.count("jobs", &query).await?.to_string());
        return Ok(());
    }
    let mut table = Table::new(&COLUMNS);
    let now = Utc::now();
    let write = |job: Resource| match format {
        Format::Json => print_json(&job),
        Format::Quiet => print_line(&job.id),
        Format::Text => table.add(row(&job, now)),
    };
    let has_more = target.client.list("jobs", &query, write).await?;
    if format == Format::Text {
        table.print();
        if has_more {
            report_more(query.limit);
        }
    }
    Ok(())
}

fn row(job: &Resource, now: chrono::DateTime<Utc>) -> Vec<String> {
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

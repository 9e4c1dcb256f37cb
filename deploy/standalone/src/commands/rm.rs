//! `media rm`: deletes media or jobs.

use std::process::ExitCode;

use clap::Args;
use media_services::config::Settings;
use uuid::Uuid;

use super::media_path::parse_media_path;
use crate::{
    client::{ApiClient, ClientError},
    command_error::usage,
    output::{Format, OutputArguments, print_json, print_line},
    server_arguments::ServerArguments,
    target::Target,
};

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media rm avatars/42 avatars/43\n\
    \u{20} media ls avatars --quiet | xargs -d '\\n' media rm\n\
    \u{20} media rm --job 01a209d3-ac64-703f-91dc-9affcb76ba68")]
pub(crate) struct RmArguments {
    /// The media, or with --job the ids of jobs
    #[arg(required = true, value_name = "RESOURCE[/KEY]|ID")]
    names: Vec<String>,
    /// Delete jobs; their media stay
    #[arg(long)]
    job: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// Runs the command. Goes on after a failure.
pub(crate) async fn run(settings: &Settings, arguments: RmArguments) -> anyhow::Result<ExitCode> {
    media_telemetry::start_command();
    for name in &arguments.names {
        check(name, arguments.job).map_err(usage)?;
    }
    let target = Target::for_requests(settings, &arguments.server).await?;
    let all_deleted = delete_all(&target.client, &arguments).await;
    target.finish(Ok(())).await?;
    Ok(if all_deleted {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Checks a name before anything is deleted.
fn check(name: &str, is_job: bool) -> Result<(), String> {
    if is_job {
        return Uuid::parse_str(name)
            .map(drop)
            .map_err(|_| format!("{name} is not the id of a job"));
    }
    parse_media_path(name).map(drop)
}

async fn delete_all(client: &ApiClient, arguments: &RmArguments) -> bool {
    let format = Format::from(arguments.output);
    let mut all_deleted = true;
    for name in &arguments.names {
        match delete(client, name, arguments.job).await {
            Ok(()) if format == Format::Json => {
                print_json(&serde_json::json!({ "deleted": name }));
            }
            Ok(()) if format == Format::Text => print_line(&format!("deleted {name}")),
            Ok(()) => {}
            Err(error) => {
                eprintln!("media: {name}: {error}");
                all_deleted = false;
            }
        }
    }
    all_deleted
}

async fn delete(client: &ApiClient, name: &str, is_job: bool) -> Result<(), ClientError> {
    match parse_media_path(name) {
        Ok(path) if !is_job => client.delete_media(&path).await,
        _ => client.delete_job(name).await,
    }
}

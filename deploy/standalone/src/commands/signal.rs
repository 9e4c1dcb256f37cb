//! `media signal`: cancels, pauses, resumes or retries jobs.

use std::process::ExitCode;

use clap::{Args, ValueEnum};
use futures_util::{StreamExt as _, stream};
use media_services::config::Settings;

use super::selection::{JobSelector, select_jobs};
use crate::{
    client::ApiClient,
    output::{Format, OutputArguments, print_json, print_line},
    server_arguments::ServerArguments,
    target::Target,
};

/// The most signals that are sent at the same time.
const MAX_CONCURRENT_SIGNALS: usize = 8;

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media signal cancel 01a209d3-ac64-703f-91dc-9affcb76ba68\n\
    \u{20} media signal retry status=failed error=origin_error --dry-run\n\
    \u{20} media signal pause status__in=pending,scheduled")]
pub(crate) struct SignalArguments {
    /// The signal
    #[arg(value_enum, value_name = "SIGNAL")]
    signal: SignalName,
    /// The ids of jobs, or filters that select them (see media jobs --help)
    #[arg(required = true, value_name = "ID|FILTER")]
    selectors: Vec<JobSelector>,
    /// Print the selected jobs, and send nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// The signals.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum SignalName {
    /// End jobs that have not ended
    Cancel,
    /// Suspend jobs until resume
    Pause,
    /// Continue paused jobs
    Resume,
    /// Restart jobs that have failed or were cancelled
    Retry,
}

impl SignalName {
    fn as_str(self) -> &'static str {
        match self {
            Self::Cancel => "cancel",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Retry => "retry",
        }
    }
}

/// Runs the command. Goes on after a failure.
pub(crate) async fn run(
    settings: &Settings,
    arguments: SignalArguments,
) -> anyhow::Result<ExitCode> {
    media_telemetry::start_command();
    let target = Target::for_requests(settings, &arguments.server).await?;
    let done = signal_all(&target.client, arguments).await;
    let failures = target.finish(done).await?;
    Ok(if failures == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Sends the signal to all selected jobs. Returns the number of failures.
async fn signal_all(client: &ApiClient, arguments: SignalArguments) -> anyhow::Result<usize> {
    let format = Format::from(arguments.output);
    let signal = arguments.signal.as_str();
    let ids = select_jobs(client, arguments.selectors).await?;
    if arguments.dry_run {
        for id in &ids {
            print_line(id);
        }
        if format == Format::Text {
            eprintln!("{signal} would be sent to these {} jobs", ids.len());
        }
        return Ok(0);
    }
    let count = ids.len();
    let mut sent = stream::iter(ids)
        .map(|id| async move {
            let sent = client.signal(&id, signal).await;
            (id, sent)
        })
        .buffered(MAX_CONCURRENT_SIGNALS);
    let mut failures = 0;
    while let Some((id, sent)) = sent.next().await {
        match sent {
            Ok(job) => match format {
                Format::Json => print_json(&job),
                Format::Quiet => {}
                Format::Text => {
                    print_line(&format!("{id}  {}", state_of(signal, &job.text("status"))));
                }
            },
            Err(error) => {
                eprintln!("media: {id}: {error}");
                failures += 1;
            }
        }
    }
    if format == Format::Text && count != 1 {
        eprintln!("{signal}: sent to {} of {count} jobs", count - failures);
    }
    Ok(failures)
}

/// The state of a job after a signal, which a running job obeys within two seconds.
fn state_of(signal: &str, status: &str) -> String {
    match (signal, status) {
        ("cancel" | "pause", "running") => format!("running; {signal} takes effect within 2 s"),
        (_, status) => status.to_owned(),
    }
}

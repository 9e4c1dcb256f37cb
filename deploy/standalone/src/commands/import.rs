//! `media import`: imports URLs, through the running service if there is one.

use std::{
    collections::BTreeMap,
    io::{IsTerminal as _, Write as _},
    path::PathBuf,
    process::ExitCode,
};

use clap::Args;
use media_domain::job::arguments::RawImportArguments;
use media_services::{config::Settings, shutdown};
use serde_json::Value;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::{
    client::names,
    command_error::usage,
    filters::absolute_time,
    output::{Format, OutputArguments, print_json, print_line},
    progress::{Display, Verbosity},
    server_arguments::ServerArguments,
    target::Target,
};

mod columns;
mod csv;
mod failure_source;
mod job_follower;
mod no_wait;
mod ordered;
mod report;
mod rows;
mod runner;
mod summary;

use ordered::Ordered;
use report::{EarlierRun, Report};
use rows::{Defaults, Rows};
use summary::Summary;

pub(crate) use rows::Row;
pub(crate) use runner::{Outcome, Runner};

/// The exit code of a program that Ctrl-C has ended: 128 and the number of SIGINT.
const INTERRUPTED_EXIT_CODE: u8 = 130;
/// The most unfinished jobs that are named.
const MAX_NAMED_JOBS: usize = 3;
/// Retries of an import from the command line, whose user waits.
const DEFAULT_RETRIES: i64 = 2;

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media import https://www.rust-lang.org/logos/rust-logo-512x512.png\n\
    \u{20} media import https://example.org/a.jpg --resource avatars --key 42 --public\n\
    \u{20} media import --list pictures.csv --report done.csv\n\
    \u{20} grep jpg urls.txt | media import --list - --resource holiday\n\n\
    A list has a URL per line, or is CSV (comma, semicolon or tab) whose first line names the columns: url, resource, \
    key, filename, public, sha256, md5, size, meta and headers (JSON objects), expires_at, if_exists, max_bytes, \
    accept_types, priority, unicity, scheduled_at, max_retries, project_id. An empty cell means the value of the flag.\n\n\
    The records of the media are printed on standard output if it is no terminal, or with --json; for a list only with \
    --json. The exit code is 0 if all \
    imports have succeeded, 1 if one has failed, 2 if the command line or the list is wrong, 130 after Ctrl-C. Ctrl-C \
    cancels imports that run in this process; a service goes on with its own.")]
pub(crate) struct ImportArguments {
    /// The URLs to import
    #[arg(required_unless_present = "list", value_name = "URL")]
    urls: Vec<String>,
    /// Import the URLs of a list as well; - is standard input
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Import the valid rows of a list that has invalid ones
    #[arg(long, requires = "list")]
    partial: bool,
    /// Write a CSV record of each import to FILE; if FILE is the report of an earlier run, continue that: imports
    /// that have succeeded are not repeated
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Request the imports and print their jobs, without waiting for their end; needs a running service
    #[arg(long, conflicts_with = "report")]
    no_wait: bool,
    #[command(flatten, next_help_heading = "Arguments of the imports")]
    values: ValueArguments,
    #[command(flatten, next_help_heading = "Options")]
    output: OutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// The arguments and attributes of the jobs.
#[derive(Args)]
struct ValueArguments {
    /// The resource to store the media in
    #[arg(long, value_name = "R", default_value = "imports")]
    resource: String,
    /// The key within the resource, for a single URL; without it, each media gets a new key
    #[arg(long, value_name = "K")]
    key: Option<String>,
    /// The name of the file, for a single URL; without it, the origin's
    #[arg(long, value_name = "NAME")]
    filename: Option<String>,
    /// Make the media public: anyone may download it
    #[arg(long)]
    public: bool,
    /// The SHA-256 that the bytes must have, for a single URL
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    /// The number of bytes that the file must have, for a single URL
    #[arg(long, value_name = "BYTES")]
    size: Option<i64>,
    /// A header for the origin, such as 'Authorization: Bearer …'; may be repeated
    #[arg(long = "header", short = 'H', value_name = "NAME: VALUE", value_parser = parse_header)]
    headers: Vec<(String, String)>,
    /// The largest accepted size of a file, such as 500MiB: the argument max_bytes of the API
    #[arg(id = "import_max_bytes", long = "max-size", value_name = "SIZE", value_parser = parse_size)]
    max_bytes: Option<i64>,
    /// An accepted type, such as image/png or image/*; may be repeated
    #[arg(long = "accept-type", value_name = "TYPE", value_delimiter = ',')]
    accept_types: Vec<String>,
    /// The most retries after failures that may be temporary
    #[arg(long, alias = "max-retries", value_name = "N", default_value_t = DEFAULT_RETRIES,
          value_parser = clap::value_parser!(i64).range(0..=100))]
    retries: i64,
    /// The priority, -100 to 100, higher first [default: 0]
    #[arg(long, value_name = "N", allow_negative_numbers = true,
          value_parser = clap::value_parser!(i64).range(-100..=100))]
    priority: Option<i64>,
    /// A name that at most one unfinished job has: if there is one, it is followed instead, for a single URL
    #[arg(long, value_name = "NAME")]
    unicity: Option<String>,
    /// Start no earlier: +30m, or a time such as 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", value_parser = parse_time)]
    scheduled_at: Option<String>,
    /// The project of the imports, one that the token names
    #[arg(long, value_name = "ID")]
    project_id: Option<String>,
}

/// Runs the command.
pub(crate) async fn run(
    settings: &Settings,
    arguments: ImportArguments,
) -> anyhow::Result<ExitCode> {
    // Mistakes are reported before anything is created.
    let mut rows = rows_of(&arguments)?;
    let mut earlier = match &arguments.report {
        Some(path) => EarlierRun::read(path)?,
        None => EarlierRun::default(),
    };
    let all = rows.len();
    let records = earlier.continue_with(&mut rows);
    let skipped = all - rows.len();
    let mut report = match &arguments.report {
        Some(path) => Some(Report::start(path, &records)?),
        None => None,
    };
    media_telemetry::start_command();
    let shutdown = shutdown::on_signal()?;
    let target = tokio::select! {
        target = Target::for_imports(settings, &arguments.server) => target?,
        () = shutdown.cancelled() => return Ok(ExitCode::from(INTERRUPTED_EXIT_CODE)),
    };
    let done = if arguments.no_wait {
        no_wait::request_all(&target, &rows, arguments.output.into()).await
    } else {
        import_rows(
            &target,
            &arguments,
            &rows,
            skipped,
            report.as_mut(),
            &shutdown,
        )
        .await
    };
    target.finish(done).await
}

/// Runs the imports and reports on them.
async fn import_rows(
    target: &Target,
    arguments: &ImportArguments,
    rows: &[Row],
    skipped: usize,
    mut report: Option<&mut Report>,
    shutdown: &CancellationToken,
) -> anyhow::Result<ExitCode> {
    let format = Format::from(arguments.output);
    let verbosity = match (&arguments.list, format) {
        (None, Format::Text | Format::Json) => Verbosity::Everything,
        _ => Verbosity::Failures,
    };
    let display = Display::new(rows.len(), verbosity);
    let runner = Runner::new(&target.client, &display, shutdown, target.is_own());
    let started = Instant::now();
    let mut summary = Summary::default();
    let mut reported = Ok(());
    let mut records = Ordered::new(arguments.list.is_none());
    runner
        .run(rows, |position, ended| {
            summary.add(&rows[position], &ended);
            if let (Some(report), Ok(())) = (report.as_deref_mut(), &reported) {
                reported = report.add(&rows[position], &ended);
            }
            let record = match ended.outcome {
                Outcome::Imported(record) => Some(record),
                _ => None,
            };
            for record in records.add(position, record) {
                display.pause(|| print_record(&record, format, arguments.list.is_some()));
            }
        })
        .await;
    display.clear();
    if rows.len() + skipped != 1 && format != Format::Quiet || summary.is_interrupted() {
        eprintln!("{}", summary.describe(skipped, started.elapsed()));
    }
    reported?;
    if let Some(report) = report {
        report.finish()?;
    }
    if shutdown.is_cancelled() && summary.is_interrupted() {
        eprintln!(
            "{}",
            describe_interruption(target, arguments, &summary.unfinished)
        );
        return Ok(ExitCode::from(INTERRUPTED_EXIT_CODE));
    }
    Ok(if summary.has_succeeded() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Says what becomes of the imports after an interruption.
fn describe_interruption(
    target: &Target,
    arguments: &ImportArguments,
    unfinished: &[String],
) -> String {
    let again = match &arguments.report {
        Some(_) => "The same command continues with the imports that are left.",
        None => "The same command starts the imports again; with --report it would continue.",
    };
    if target.is_own() {
        return format!("Interrupted; the imports of this process were cancelled. {again}");
    }
    if unfinished.is_empty() {
        return format!("Interrupted. {again}");
    }
    let server = target.server_flag();
    let follow = if unfinished.len() <= MAX_NAMED_JOBS {
        format!("media events {}{server}", unfinished.join(" "))
    } else {
        format!("media jobs status__in=scheduled,pending,running{server}")
    };
    format!(
        "Interrupted; the service at {} goes on with {} of the imports. Follow them with\n  {follow}\n{again}",
        target.client.url().as_str().trim_end_matches('/'),
        unfinished.len()
    )
}

/// Prints the record of a media.
fn print_record(record: &Value, format: Format, is_list: bool) {
    match format {
        Format::Json => print_json(record),
        // A person has read the line about it.
        Format::Text if !is_list && !std::io::stdout().is_terminal() => {
            // Writing fails if the reader has closed the pipe.
            let _ = writeln!(
                std::io::stdout(),
                "{}",
                names::escaped(&format!("{record:#}"))
            );
        }
        Format::Text | Format::Quiet => {}
    }
}

/// Checks the arguments and the list, and returns the imports.
fn rows_of(arguments: &ImportArguments) -> anyhow::Result<Vec<Row>> {
    let values = &arguments.values;
    let is_single = arguments.list.is_none() && arguments.urls.len() == 1;
    for (flag, is_given) in [
        ("--key", values.key.is_some()),
        ("--filename", values.filename.is_some()),
        ("--sha256", values.sha256.is_some()),
        ("--size", values.size.is_some()),
        ("--unicity", values.unicity.is_some()),
    ] {
        if is_given && !is_single {
            return Err(usage(format!(
                "{flag} is for a single URL; give one URL with it, or a list with a column for it"
            )));
        }
    }
    let defaults = defaults_of(values);
    let mut rows = Rows::of_urls(&arguments.urls, &defaults);
    if let Some(file) = &arguments.list {
        let listed = Rows::of_list(&rows::read_list(file)?, &defaults)?;
        rows.valid.extend(listed.valid);
        rows.mistakes.extend(listed.mistakes);
    }
    if rows.mistakes.is_empty() {
        return Ok(rows.valid);
    }
    let mistakes = rows.describe_mistakes();
    if arguments.partial {
        eprintln!(
            "media: {} imports are left out:{mistakes}",
            rows.mistakes.len()
        );
        return Ok(rows.valid);
    }
    let advice = match arguments.list {
        Some(_) => "\nCorrect them, or import the others with --partial.",
        None => "",
    };
    Err(usage(format!(
        "nothing was imported, as {} of the imports cannot be requested:{mistakes}{advice}",
        rows.mistakes.len()
    )))
}

fn defaults_of(values: &ValueArguments) -> Defaults {
    let headers: BTreeMap<String, String> = values.headers.iter().cloned().collect();
    let has_types = !values.accept_types.is_empty();
    Defaults {
        raw: RawImportArguments {
            resource: values.resource.clone(),
            key: values.key.clone(),
            filename: values.filename.clone(),
            public: Some(values.public),
            sha256: values.sha256.clone(),
            size: values.size,
            headers: Some(headers).filter(|headers| !headers.is_empty()),
            max_bytes: values.max_bytes,
            accept_types: has_types.then(|| values.accept_types.clone()),
            ..RawImportArguments::default()
        },
        max_retries: Some(values.retries),
        priority: values.priority,
        unicity: values.unicity.clone(),
        scheduled_at: values.scheduled_at.clone(),
        project_id: values.project_id.clone(),
    }
}

fn parse_header(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once(':').ok_or("a header is NAME: VALUE")?;
    Ok((name.trim().to_owned(), value.trim().to_owned()))
}

fn parse_size(text: &str) -> Result<i64, String> {
    let size: bytesize::ByteSize = text
        .parse()
        .map_err(|_| "it must be a number of bytes, or a size such as 500MiB".to_owned())?;
    i64::try_from(size.as_u64()).map_err(|_| "it is too large".to_owned())
}

fn parse_time(text: &str) -> Result<String, String> {
    let time = absolute_time(text, chrono::Utc::now())?;
    chrono::DateTime::parse_from_rfc3339(&time)
        .map(|_| time)
        .map_err(|_| "it must be +30m, or a time such as 2026-01-31T12:00:00Z".to_owned())
}

/// Prints a line about a job that was requested.
fn print_requested(id: &str, url: &str, format: Format) {
    match format {
        Format::Quiet => print_line(id),
        _ => print_line(&format!("{id}  {url}")),
    }
}

//! `media put`: uploads a file.

use std::{
    os::fd::AsFd as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use media_domain::media::MediaPath;
use media_services::config::Settings;
use reqwest::Body;
use tokio::fs::File;
use tokio_util::io::ReaderStream;

use super::media_path::{parse_media_path, shown};
use crate::{
    client::Upload,
    command_error::usage,
    output::{Format, OutputArguments, print_json, print_line, size},
    server_arguments::ServerArguments,
    target::Target,
};

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media put portrait.jpg avatars/42 --public\n\
    \u{20} pg_dump shop | media put - backups/shop --filename shop.sql")]
pub(crate) struct PutArguments {
    /// The file to upload, or - for standard input
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// The place of the media, whose bytes are replaced if it exists
    #[arg(value_name = "RESOURCE[/KEY]", value_parser = parse_media_path)]
    path: MediaPath,
    /// Make the media public: anyone may download it
    #[arg(long)]
    public: bool,
    /// The name of the media's file; without it, the name of FILE
    #[arg(long, value_name = "NAME")]
    filename: Option<String>,
    /// The SHA-256 that the bytes must have, 64 hexadecimal digits
    #[arg(long, value_name = "HEX")]
    sha256: Option<String>,
    #[command(flatten)]
    output: OutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// Runs the command.
pub(crate) async fn run(settings: &Settings, arguments: PutArguments) -> anyhow::Result<ExitCode> {
    media_telemetry::start_command();
    let upload = open(&arguments).await?;
    // The first upload may come before any service has run here.
    let target = Target::for_uploads(settings, &arguments.server).await?;
    let done = target.client.upload(&arguments.path, upload).await;
    let media = target.finish(done.map_err(Into::into)).await?;
    match Format::from(arguments.output) {
        Format::Json => print_json(&media),
        Format::Quiet => {}
        Format::Text => print_line(&format!(
            "stored {} ({}, {}, {})",
            shown(&arguments.path),
            media.text("filename"),
            media.text("mime_type"),
            size(media.number("size").unwrap_or_default())
        )),
    }
    Ok(ExitCode::SUCCESS)
}

/// Opens the file to upload.
async fn open(arguments: &PutArguments) -> anyhow::Result<Upload> {
    let is_standard_input = arguments.file == Path::new("-");
    let own_name = arguments
        .file
        .file_name()
        .map(|name| name.to_string_lossy());
    let filename = match (&arguments.filename, own_name) {
        (Some(name), _) => name.clone(),
        (None, Some(name)) if !is_standard_input => name.into_owned(),
        _ => return Err(usage("give the name of the file with --filename")),
    };
    let (body, size) = if is_standard_input {
        let input = std::io::stdin().as_fd().try_clone_to_owned()?;
        let input = File::from_std(input.into());
        (Body::wrap_stream(ReaderStream::new(input)), None)
    } else {
        let path = || arguments.file.display();
        let opened = File::open(&arguments.file).await;
        let file = opened.with_context(|| format!("{} cannot be read", path()))?;
        let metadata = file.metadata().await?;
        if metadata.is_dir() {
            return Err(usage(format!("{} is a directory; give a file", path())));
        }
        let size = metadata.is_file().then_some(metadata.len());
        (Body::wrap_stream(ReaderStream::new(file)), size)
    };
    Ok(Upload {
        body,
        size,
        filename,
        sha256: arguments.sha256.clone(),
        public: arguments.public,
    })
}

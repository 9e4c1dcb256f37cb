//! `media get`: downloads a media to a file.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::Context as _;
use clap::Args;
use futures_util::StreamExt as _;
use media_domain::media::MediaPath;
use media_services::config::Settings;
use tokio::{fs, io::AsyncWriteExt as _};
use uuid::Uuid;

use super::media_path::{parse_media_path, shown};
use crate::{
    client::{ApiClient, Resource},
    command_error::failed,
    output::{Format, OutputArguments, print_json, print_line, size},
    server_arguments::ServerArguments,
    target::Target,
};

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media get avatars/42\n\
    \u{20} media get avatars/42 -o portrait.jpg\n\
    \u{20} media get avatars/42 -o - | file -")]
pub(crate) struct GetArguments {
    /// The media
    #[arg(value_name = "RESOURCE[/KEY]", value_parser = parse_media_path)]
    path: MediaPath,
    /// The file to write, or - for standard output; without it, a file of the media's name in this directory
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace the file if it exists
    #[arg(long, short)]
    force: bool,
    #[command(flatten)]
    form: OutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// Runs the command.
pub(crate) async fn run(settings: &Settings, arguments: GetArguments) -> anyhow::Result<ExitCode> {
    media_telemetry::start_command();
    let target = Target::for_requests(settings, &arguments.server).await?;
    let done = get(&target.client, &arguments).await;
    target.finish(done).await?;
    Ok(ExitCode::SUCCESS)
}

async fn get(client: &ApiClient, arguments: &GetArguments) -> anyhow::Result<()> {
    if arguments.output.as_deref() == Some(Path::new("-")) {
        return print_bytes(client, &arguments.path).await;
    }
    let media = client.media(&arguments.path).await?;
    let file = match &arguments.output {
        Some(file) => file.clone(),
        None => file_of(&media),
    };
    if !arguments.force && file.exists() {
        return Err(failed(format!(
            "{} exists; replace it with --force, or choose another with --output",
            file.display()
        )));
    }
    save(client, &arguments.path, &file, arguments.force).await?;
    match Format::from(arguments.form) {
        Format::Json => print_json(&media),
        Format::Quiet => {}
        Format::Text => print_line(&format!(
            "{} → {} ({}, {})",
            shown(&arguments.path),
            file.display(),
            media.text("mime_type"),
            size(media.number("size").unwrap_or_default())
        )),
    }
    Ok(())
}

/// A file in this directory with the name of the media, which an origin may have chosen.
fn file_of(media: &Resource) -> PathBuf {
    let name = media.text("filename");
    let name: String = name
        .chars()
        .map(|c| if matches!(c, '/' | '\\') { '_' } else { c })
        .collect();
    let name = name.trim_start_matches('.');
    PathBuf::from(if name.is_empty() { "media" } else { name })
}

/// Writes the bytes to a file, which appears when it is complete. One that has appeared there meanwhile is replaced only
/// by force.
async fn save(
    client: &ApiClient,
    path: &MediaPath,
    file: &Path,
    force: bool,
) -> anyhow::Result<()> {
    let name = file.file_name().unwrap_or_default().to_string_lossy();
    // The whole name might be too long with a suffix.
    let name: String = name.chars().take(32).collect();
    let partial = file.with_file_name(format!(".{name}.{}.part", Uuid::now_v7()));
    let written = tokio::select! {
        written = write_to(client, path, &partial) => written,
        _ = tokio::signal::ctrl_c() => Err(failed("interrupted; nothing was written")),
    };
    let renamed = match written {
        Ok(()) => rename(&partial, file, force).await.map_err(Into::into),
        Err(error) => Err(error),
    };
    if renamed.is_err() {
        // It does not exist if it could not be created.
        let _ = fs::remove_file(&partial).await;
    }
    renamed.with_context(|| format!("{} cannot be written", file.display()))
}

async fn rename(from: &Path, to: &Path, force: bool) -> std::io::Result<()> {
    if !force {
        // The name is taken first: renaming replaces what is there.
        fs::File::create_new(to).await?;
    }
    fs::rename(from, to).await
}

async fn write_to(client: &ApiClient, path: &MediaPath, file: &Path) -> anyhow::Result<()> {
    let mut chunks = client.download(path).await?;
    let mut file = fs::File::create_new(file).await?;
    while let Some(chunk) = chunks.next().await {
        file.write_all(&chunk?).await?;
    }
    file.sync_all().await?;
    Ok(())
}

async fn print_bytes(client: &ApiClient, path: &MediaPath) -> anyhow::Result<()> {
    let mut chunks = client.download(path).await?;
    let mut out = std::io::stdout();
    while let Some(chunk) = chunks.next().await {
        out.write_all(&chunk?)
            .context("standard output cannot be written")?;
    }
    out.flush().context("standard output cannot be written")
}

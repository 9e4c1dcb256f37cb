//! Requests imports without waiting for their end.

use std::process::ExitCode;

use super::{print_requested, rows::Row};
use crate::{command_error::usage, output::Format, output::print_json, target::Target};

/// Requests all imports and prints their jobs. Goes on after a failure.
pub(super) async fn request_all(
    target: &Target,
    rows: &[Row],
    format: Format,
) -> anyhow::Result<ExitCode> {
    if target.is_own() {
        return Err(usage(
            "--no-wait needs a service that goes on with the imports; start one with media, or name one with --server",
        ));
    }
    let mut code = ExitCode::SUCCESS;
    for row in rows {
        match target.client.create_job(&row.import).await {
            Ok(job) if format == Format::Json => {
                print_json(&target.client.job(&job.id).await?);
            }
            Ok(job) => print_requested(&job.id, &row.import.url, format),
            Err(error) => {
                eprintln!("media: line {}: {error}", row.line);
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

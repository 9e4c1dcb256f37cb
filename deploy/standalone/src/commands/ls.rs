//! `media ls`: lists media.

use std::{process::ExitCode, str::FromStr};

use chrono::Utc;
use clap::Args;
use media_domain::media::MediaPath;
use media_services::config::Settings;

use super::{
    list_arguments::{ListArguments, report_more},
    media_path::parse_media_path,
};
use crate::{
    client::Resource,
    filters::Filter,
    output::{Format, ListOutputArguments, Table, age, print_json, print_line, size},
    server_arguments::ServerArguments,
    target::Target,
};

/// The columns of the table.
const COLUMNS: [&str; 5] = ["MEDIA", "SIZE", "TYPE", "CREATED", "NAME"];

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media ls\n\
    \u{20} media ls avatars --sort key\n\
    \u{20} media ls avatars/42 --json\n\
    \u{20} media ls mime_type__in=image/png,image/jpeg size__gte=1000000\n\n\
    Filters are those of GET /medias: id, resource, key, filename, size, mime_type, public, created_by, created_role, \
    project_id, created_at, updated_at, with __in, __gte and __lte where they make sense.")]
pub(crate) struct LsArguments {
    /// A resource, a media, or filters of the list: NAME=VALUE, where times may be relative to now (-1h)
    #[arg(value_name = "RESOURCE[/KEY]|FILTER")]
    selectors: Vec<MediaSelector>,
    #[command(flatten)]
    list: ListArguments,
    #[command(flatten)]
    output: ListOutputArguments,
    #[command(flatten)]
    server: ServerArguments,
}

/// The path of media, or a filter.
#[derive(Clone, Debug)]
enum MediaSelector {
    Path(MediaPath),
    Filter(Filter),
}

impl FromStr for MediaSelector {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.contains('=') {
            return text.parse().map(Self::Filter);
        }
        // `avatars/` is what a shell completes for a directory of that name.
        parse_media_path(text.strip_suffix('/').unwrap_or(text)).map(Self::Path)
    }
}

impl MediaSelector {
    fn filters(&self) -> Vec<Filter> {
        match self {
            Self::Filter(filter) => vec![filter.clone()],
            Self::Path(path) => {
                let mut filters = vec![Filter::equal("resource", path.resource())];
                filters.extend(path.key().map(|key| Filter::equal("key", key)));
                filters
            }
        }
    }
}

/// Runs the command.
pub(crate) async fn run(settings: &Settings, arguments: LsArguments) -> anyhow::Result<ExitCode> {
    media_telemetry::start_command();
    let target = Target::for_requests(settings, &arguments.server).await?;
    let done = list(&target, &arguments).await;
    target.finish(done).await?;
    Ok(ExitCode::SUCCESS)
}

async fn list(target: &Target, arguments: &LsArguments) -> anyhow::Result<()> {
    let format = Format::from(arguments.output);
    let filters: Vec<Filter> = arguments
        .selectors
        .iter()
        .flat_map(MediaSelector::filters)
        .collect();
    let query = arguments.list.query(&filters, format == Format::Text);
    if arguments.list.count {
        print_line(&target.client.count("medias", &query).await?.to_string());
        return Ok(());
    }
    let mut table = Table::new(&COLUMNS);
    let now = Utc::now();
    let write = |media: Resource| match format {
        Format::Json => print_json(&media),
        Format::Quiet => print_line(&media.media_path()),
        Format::Text => table.add(row(&media, now)),
    };
    let has_more = target.client.list("medias", &query, write).await?;
    if format == Format::Text {
        table.print();
        if has_more {
            report_more(query.limit);
        }
    }
    Ok(())
}

fn row(media: &Resource, now: chrono::DateTime<Utc>) -> Vec<String> {
    vec![
        media.media_path(),
        media.number("size").map(size).unwrap_or_default(),
        media.text("mime_type").into_owned(),
        age(&media.text("created_at"), now),
        media.text("filename").into_owned(),
    ]
}

//! `media ls`: lists media.

use std::{process::ExitCode, str::FromStr};

use chrono::{DateTime, Utc};
use clap::Args;
use media_domain::media::MediaPath;
use media_services::config::Settings;

use super::{list::List, list_arguments::ListArguments, media_path::parse_media_path};
use crate::{
    client::Resource,
    filters::Filter,
    output::{ListOutputArguments, age, size},
    server_arguments::ServerArguments,
    target::Target,
};

const MEDIAS: List = List {
    name: "medias",
    columns: &["MEDIA", "SIZE", "TYPE", "CREATED", "NAME"],
    row,
    reference: Resource::media_path,
};

#[derive(Args)]
#[command(after_help = "Examples:\n\
    \u{20} media ls\n\
    \u{20} media ls avatars --sort key\n\
    \u{20} media ls avatars/42 --json\n\
    \u{20} media ls mime_type__in=image/png,image/jpeg size__gte=1000000\n\n\
    Filters are those of GET /medias, such as resource, key, size, mime_type, expires_at and meta.NAME, with __in, \
    __gte, __lte, __prefix and __match where they make sense; /docs of the service lists them.")]
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
    let filters = arguments.selectors.iter().flat_map(MediaSelector::filters);
    let filters: Vec<Filter> = filters.collect();
    let format = arguments.output.into();
    let done = MEDIAS
        .print(&target, &arguments.list, &filters, format)
        .await;
    target.finish(done).await?;
    Ok(ExitCode::SUCCESS)
}

fn row(media: &Resource, now: DateTime<Utc>) -> Vec<String> {
    vec![
        media.media_path(),
        media.number("size").map(size).unwrap_or_default(),
        media.text("mime_type").into_owned(),
        age(&media.text("created_at"), now),
        media.text("filename").into_owned(),
    ]
}

//! Shows the progress of imports: a bar for each on a terminal, a line for each otherwise.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use media_shared::job::arguments::redact_url;
use url::Url;

use crate::api_client::Job;

/// The longest label of a bar, in characters.
const MAX_LABEL_CHARS: usize = 40;

/// The progress of all imports.
pub(crate) struct Display {
    bars: Option<MultiProgress>,
}

/// The progress of one import.
pub(crate) struct Line {
    url: String,
    bars: Option<MultiProgress>,
    bar: Option<ProgressBar>,
    last_error: Option<String>,
}

impl Display {
    /// Creates a display on standard error, with bars if it is a terminal.
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { bars }
    }

    /// Hides the bars while `write` runs.
    pub(crate) fn pause(&self, write: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Adds an import.
    pub(crate) fn add(&self, url: &str) -> Line {
        // Other people may see the screen.
        let url = Url::parse(url).map_or_else(|_| url.to_owned(), |url| redact_url(&url));
        let bar = self.bars.as_ref().map(|bars| {
            let bar = bars.add(ProgressBar::new(0));
            bar.set_style(style(false));
            bar.set_prefix(shortened(&url));
            bar.enable_steady_tick(Duration::from_millis(120));
            bar
        });
        Line {
            url,
            bars: self.bars.clone(),
            bar,
            last_error: None,
        }
    }
}

impl Line {
    /// Shows the progress of the import, and the reason for a retry.
    pub(crate) fn update(&mut self, job: &Job) {
        let attributes = &job.attributes;
        if let Some(bar) = &self.bar {
            if let Some(total) = attributes.bytes_total
                && bar.length() != Some(total)
            {
                bar.set_length(total);
                bar.set_style(style(true));
            }
            bar.set_position(attributes.bytes_done);
        }
        let is_waiting = attributes.status == "scheduled" || attributes.status == "pending";
        if is_waiting && attributes.retry_count > 0 && attributes.error_detail != self.last_error {
            self.last_error.clone_from(&attributes.error_detail);
            let reason = self.last_error.clone().unwrap_or_default();
            self.print(&format!("will be retried: {reason}"));
        }
    }

    /// Replaces the bar by a line with the outcome and the whole URL.
    pub(crate) fn finish(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.print(outcome);
    }

    fn print(&self, message: &str) {
        let line = format!("{}: {message}", self.url);
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

fn style(with_total: bool) -> ProgressStyle {
    let template = if with_total {
        "{prefix:40} [{bar:24}] {bytes:>11}/{total_bytes:11} {bytes_per_sec:>13} {eta:>5}"
    } else {
        "{prefix:40} {spinner} {bytes:>11} {bytes_per_sec:>13}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// Shortens a URL to its end, which has the file's name.
fn shortened(url: &str) -> String {
    let length = url.chars().count();
    if length <= MAX_LABEL_CHARS {
        return url.to_owned();
    }
    let end: String = url.chars().skip(length - MAX_LABEL_CHARS + 1).collect();
    format!("…{end}")
}

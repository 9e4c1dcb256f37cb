//! How imports are shown while they run: a bar each on a terminal, a line each elsewhere.

use std::{io::IsTerminal as _, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use media_domain::job::arguments::redact_url;
use url::Url;

use crate::api_client::Job;

/// The most of a URL that is shown beside its bar.
const LABEL_WIDTH: usize = 40;

/// All imports that are shown.
pub(crate) struct Display {
    bars: Option<MultiProgress>,
}

/// One import that is shown.
pub(crate) struct Line {
    url: String,
    bars: Option<MultiProgress>,
    bar: Option<ProgressBar>,
    last_error: Option<String>,
}

impl Display {
    /// Bars if standard error is a terminal, lines if not.
    pub(crate) fn new() -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        Self { bars }
    }

    /// Takes the bars away for as long as something else is written.
    pub(crate) fn pause(&self, write: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Adds an import.
    pub(crate) fn add(&self, url: &str) -> Line {
        // What stands on a screen is seen by others.
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
    /// Shows how far the import is.
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
        let waits = attributes.status == "scheduled" || attributes.status == "pending";
        if waits && attributes.retry_count > 0 && attributes.error_detail != self.last_error {
            self.last_error.clone_from(&attributes.error_detail);
            let reason = self.last_error.clone().unwrap_or_default();
            self.say(&format!("will be tried again: {reason}"));
        }
    }

    /// Shows how the import ended: in full, on a line that stays.
    pub(crate) fn finish(self, outcome: &str) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.say(outcome);
    }

    fn say(&self, message: &str) {
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

/// The end of a URL, where the file's name is.
fn shortened(url: &str) -> String {
    let length = url.chars().count();
    if length <= LABEL_WIDTH {
        return url.to_owned();
    }
    let end: String = url.chars().skip(length - LABEL_WIDTH + 1).collect();
    format!("…{end}")
}

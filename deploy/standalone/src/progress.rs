//! Shows the progress of imports: bars on a terminal, a line for each import otherwise.

use std::{
    io::IsTerminal as _,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use media_domain::job::redact_url;
use percent_encoding::percent_decode_str;
use url::Url;

use crate::client::{JobAttributes, NewImport, names};

/// The most bars of imports at the same time, which leave room for the overall bar on a terminal of 24 lines.
const MAX_BARS: usize = 12;
/// The interval between two drawings of a bar.
const TICK: Duration = Duration::from_millis(120);

/// The lines that are printed beside the bars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    /// A line for each import.
    Everything,
    /// A line for each failure.
    Failures,
}

/// The progress of all imports.
pub(crate) struct Display {
    bars: Option<MultiProgress>,
    overall: Option<ProgressBar>,
    running_bars: Arc<AtomicUsize>,
    failures: Arc<AtomicUsize>,
    verbosity: Verbosity,
}

/// The progress of one import.
pub(crate) struct Line {
    url: String,
    bars: Option<MultiProgress>,
    overall: Option<ProgressBar>,
    bar: Option<CountedBar>,
    failures: Arc<AtomicUsize>,
    verbosity: Verbosity,
    last_error: Option<String>,
}

/// A bar that counts among [`MAX_BARS`].
struct CountedBar {
    bar: ProgressBar,
    count: Arc<AtomicUsize>,
}

impl Drop for CountedBar {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Display {
    /// Creates a display on standard error: bars if it is a terminal, with one for all imports if there are several.
    pub(crate) fn new(imports: usize, verbosity: Verbosity) -> Self {
        let bars = std::io::stderr()
            .is_terminal()
            .then(|| MultiProgress::with_draw_target(ProgressDrawTarget::stderr()));
        let overall = bars.as_ref().filter(|_| imports > 1).map(|bars| {
            let bar = bars.add(ProgressBar::new(imports as u64));
            bar.set_style(template(
                "{prefix:24} [{wide_bar}] {pos}/{len}{msg}  {elapsed}",
            ));
            bar.set_prefix("all imports");
            bar.enable_steady_tick(TICK);
            bar
        });
        Self {
            bars,
            overall,
            running_bars: Arc::default(),
            failures: Arc::default(),
            verbosity,
        }
    }

    /// Hides the bars while `write` runs.
    pub(crate) fn pause(&self, write: impl FnOnce()) {
        match &self.bars {
            Some(bars) => bars.suspend(write),
            None => write(),
        }
    }

    /// Removes the overall bar.
    pub(crate) fn clear(&self) {
        if let Some(overall) = &self.overall {
            overall.finish_and_clear();
        }
    }

    /// Adds an import.
    pub(crate) fn add(&self, import: &NewImport) -> Line {
        Line {
            url: self.shown_url(import),
            bars: self.bars.clone(),
            overall: self.overall.clone(),
            bar: self.add_bar(import),
            failures: Arc::clone(&self.failures),
            verbosity: self.verbosity,
            last_error: None,
        }
    }

    /// The URL as it is printed. Only the terminal of its own user shows its secrets; a file may be read by others.
    fn shown_url(&self, import: &NewImport) -> String {
        match &self.bars {
            Some(_) => names::printable(&import.url).into_owned(),
            None => redact_url(&import.arguments.url),
        }
    }

    fn add_bar(&self, import: &NewImport) -> Option<CountedBar> {
        let bars = self.bars.as_ref()?;
        if self.running_bars.fetch_add(1, Ordering::Relaxed) >= MAX_BARS {
            self.running_bars.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let bar = match &self.overall {
            // The overall bar stays the last.
            Some(overall) => bars.insert_before(overall, ProgressBar::new(0)),
            None => bars.add(ProgressBar::new(0)),
        };
        bar.set_style(style(false));
        bar.set_prefix(label_of(import));
        bar.enable_steady_tick(TICK);
        let count = Arc::clone(&self.running_bars);
        Some(CountedBar { bar, count })
    }
}

impl Line {
    /// Shows the progress of the import, and the reason for a retry.
    pub(crate) fn update(&mut self, job: &JobAttributes) {
        if let Some(CountedBar { bar, .. }) = &self.bar {
            if let Some(total) = job.bytes_total
                && bar.length() != Some(total)
            {
                bar.set_length(total);
                bar.set_style(style(true));
            }
            bar.set_position(job.bytes_done);
        }
        let is_waiting = job.status == "scheduled" || job.status == "pending";
        if is_waiting && job.retry_count > 0 && job.error_detail != self.last_error {
            self.last_error.clone_from(&job.error_detail);
            let reason = self.last_error.clone().unwrap_or_default();
            if self.verbosity == Verbosity::Everything {
                self.print(&format!("will be retried: {}", names::printable(&reason)));
            }
        }
    }

    /// Replaces the bar by a line with the outcome and the whole URL.
    pub(crate) fn finish(mut self, outcome: &str) {
        self.bar = None;
        self.count();
        if self.verbosity == Verbosity::Everything {
            self.print(outcome);
        }
    }

    /// Replaces the bar by a line with the failure and the whole URL.
    pub(crate) fn finish_failed(mut self, outcome: &str) {
        self.bar = None;
        self.failures.fetch_add(1, Ordering::Relaxed);
        self.count();
        self.print(outcome);
    }

    fn count(&self) {
        if let Some(overall) = &self.overall {
            let failures = self.failures.load(Ordering::Relaxed);
            if failures > 0 {
                overall.set_message(format!(", {failures} failed"));
            }
            overall.inc(1);
        }
    }

    fn print(&self, message: &str) {
        let line = format!("{}: {message}", self.url);
        match &self.bars {
            Some(bars) => bars.suspend(|| eprintln!("{line}")),
            None => eprintln!("{line}"),
        }
    }
}

/// The style of a bar. The bar itself takes what the numbers leave of the width, 12 of 80 columns.
fn style(with_total: bool) -> ProgressStyle {
    template(if with_total {
        "{prefix:24!} [{wide_bar}] {bytes:>10}/{total_bytes:10} {bytes_per_sec:>12} {eta:>4}"
    } else {
        "{prefix:24!} {spinner} {bytes:>10} {bytes_per_sec:>12}"
    })
}

fn template(text: &str) -> ProgressStyle {
    ProgressStyle::with_template(text)
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
}

/// The label of an import: the name of its file, or the host if its URL has none.
fn label_of(import: &NewImport) -> String {
    let url = &import.arguments.url;
    let name = match &import.arguments.filename {
        Some(filename) => filename.as_str().to_owned(),
        None => name_in(url).unwrap_or_else(|| url.host_str().unwrap_or_default().to_owned()),
    };
    names::printable(&name).into_owned()
}

/// The last segment of a URL's path that is not empty.
fn name_in(url: &Url) -> Option<String> {
    let segment = url.path_segments()?.rfind(|segment| !segment.is_empty())?;
    Some(percent_decode_str(segment).decode_utf8_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_label_is_the_name_in_the_url() {
        let name = |text: &str| name_in(&Url::parse(text).unwrap());
        assert_eq!(
            name("http://a.test/x/b%20c.jpg?q=1").as_deref(),
            Some("b c.jpg")
        );
        assert_eq!(name("http://a.test/x/").as_deref(), Some("x"));
        assert_eq!(name("http://a.test/"), None);
    }
}

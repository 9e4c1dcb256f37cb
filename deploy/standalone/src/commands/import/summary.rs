//! The summary of many imports: how many have succeeded, and the failures by their codes.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use super::{
    rows::Row,
    runner::{Ended, Outcome},
};

/// Counts outcomes.
#[derive(Debug, Default)]
pub(super) struct Summary {
    imported: usize,
    cancelled: usize,
    not_requested: usize,
    /// The jobs that the service goes on with.
    pub(super) unfinished: Vec<String>,
    /// The number of failures, and the first line with one, by code.
    failures: BTreeMap<String, (usize, usize)>,
}

impl Summary {
    /// Counts an outcome.
    pub(super) fn add(&mut self, row: &Row, ended: &Ended) {
        match &ended.outcome {
            Outcome::Imported(_) => self.imported += 1,
            Outcome::Failed { code, .. } => {
                let (count, line) = self.failures.entry(code.clone()).or_insert((0, row.line));
                *count += 1;
                *line = row.line.min(*line);
            }
            Outcome::Cancelled => self.cancelled += 1,
            Outcome::Unfinished => self.unfinished.extend(ended.job_id.clone()),
            Outcome::NotRequested => self.not_requested += 1,
        }
    }

    /// Whether all imports have succeeded.
    pub(super) fn has_succeeded(&self) -> bool {
        self.failures.is_empty() && !self.is_interrupted()
    }

    /// Whether imports have not ended.
    pub(super) fn is_interrupted(&self) -> bool {
        self.cancelled + self.not_requested + self.unfinished.len() > 0
    }

    /// The counts, and a line for each code of failures. `skipped` imports were done by an earlier run.
    pub(super) fn describe(&self, skipped: usize, elapsed: Duration) -> String {
        let failed: usize = self.failures.values().map(|(count, _)| count).sum();
        let counts = [
            (self.imported, "imported"),
            (failed, "failed"),
            (skipped, "imported before"),
            (self.cancelled, "cancelled"),
            (self.unfinished.len(), "unfinished"),
            (self.not_requested, "not requested"),
        ];
        let counts = counts.iter().enumerate();
        let shown = counts.filter(|(n, (count, _))| *n < 2 || *count > 0);
        let shown = shown.map(|(_, (count, name))| format!("{count} {name}"));
        let shown: Vec<String> = shown.collect();
        let elapsed = humantime::format_duration(Duration::from_secs(elapsed.as_secs()));
        let mut text = format!("{} in {elapsed}", shown.join(", "));
        let mut failures: Vec<_> = self.failures.iter().collect();
        failures.sort_by_key(|(_, (count, _))| std::cmp::Reverse(*count));
        for (code, (count, line)) in failures {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n{count:>7}  {code}, first in line {line}");
        }
        text
    }
}

//! The report of a fault run.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{check::Logs, fault::Fault, tally::Tally};

#[derive(Debug)]
pub struct Report {
    /// The number of faults of each kind, and whether the metrics showed them.
    pub(crate) faults: Vec<(Fault, usize, bool)>,
    /// The calls on files that failed.
    pub(crate) file_calls: Tally,
    pub(crate) disconnects: Tally,
    pub(crate) interruptions: Tally,
    pub(crate) persistent: Tally,
    /// The number of media and jobs of persistent clients whose state is certain, all of which were read
    /// back.
    pub(crate) certain: usize,
    /// The number of acknowledged imports.
    pub(crate) answered: usize,
    pub(crate) unanswered: usize,
    pub(crate) statuses: BTreeMap<String, usize>,
    pub(crate) attempts: BTreeMap<i32, usize>,
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    pub(crate) pairs: usize,
    pub(crate) logs: Logs,
    pub(crate) broken: Vec<String>,
    pub(crate) took: Duration,
}

/// The largest number of broken promises that are printed.
const MAX_PRINTED: usize = 40;

impl Report {
    /// Returns the broken promises.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// Returns the kinds of faults that were made and that no metric showed.
    pub fn not_shown(&self) -> Vec<String> {
        let hidden = self
            .faults
            .iter()
            .filter(|(_, count, shown)| *count > 0 && !shown);
        hidden.map(|(fault, ..)| fault.to_string()).collect()
    }

    /// Returns the kinds of clients that did nothing.
    pub fn idle(&self) -> Vec<&'static str> {
        let kinds = [
            ("clients that disconnect", &self.disconnects),
            ("persistent clients", &self.persistent),
            ("interrupted imports", &self.interruptions),
        ];
        let idle = kinds.into_iter().filter(|(_, tally)| tally.total() == 0);
        idle.map(|(kind, _)| kind).collect()
    }

    /// Returns the number of calls on files that failed.
    pub fn failed_file_calls(&self) -> usize {
        self.file_calls.total()
    }

    /// Returns the number of refused writes of past attempts.
    pub fn refused_writes(&self) -> usize {
        self.logs.refused_writes
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:.0?} in all", self.took)?;
        for (fault, count, shown) in &self.faults {
            let shown = if *shown {
                "shown by metrics"
            } else {
                "NOT SHOWN"
            };
            writeln!(f, "{count:>7} × {fault}: {shown}")?;
        }
        if self.file_calls.total() > 0 {
            writeln!(f, "calls on files that failed: {}", self.file_calls)?;
        }
        writeln!(f, "disconnected during {}", self.disconnects)?;
        writeln!(f, "running imports interrupted: {}", self.interruptions)?;
        writeln!(f, "persistent clients: {}", self.persistent)?;
        writeln!(f, "{} of their media and jobs read back", self.certain)?;
        let Logs {
            refused_writes,
            rescued,
            handed_back,
            ..
        } = &self.logs;
        writeln!(
            f,
            "{} imports answered 2xx, {} not",
            self.answered, self.unanswered
        )?;
        writeln!(f, "jobs: {:?}", self.statuses)?;
        writeln!(f, "jobs by attempts: {:?}", self.attempts)?;
        writeln!(
            f,
            "{rescued} jobs rescued, {handed_back} released, {refused_writes} past attempts refused"
        )?;
        writeln!(
            f,
            "{} objects, {} bytes, each as recorded",
            self.objects, self.bytes
        )?;
        writeln!(
            f,
            "{} pairs of jobs in the order of their priority",
            self.pairs
        )?;
        write!(f, "{} promises broken", self.broken.len())?;
        let mut kinds = Tally::default();
        for promise in &self.broken {
            kinds.add(&kind_of(promise));
        }
        if !self.broken.is_empty() {
            write!(f, ", by kind: {kinds}")?;
        }
        for promise in self.broken.iter().take(MAX_PRINTED) {
            write!(f, "\n  BROKEN: {promise}")?;
        }
        Ok(())
    }
}

/// Returns the text that all messages of a kind share: their first words without numbers and names.
fn kind_of(promise: &str) -> String {
    let is_plain = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
    let words: Vec<&str> = promise.split_whitespace().filter(is_plain).collect();
    words[..words.len().min(8)].join(" ")
}

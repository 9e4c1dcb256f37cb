//! The report of a run.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::{check::Logs, fault::Fault, tally::Tally};

/// The report.
#[derive(Debug)]
pub struct Report {
    /// Each kind, how often it was made, and whether the metrics showed it.
    pub(crate) faults: Vec<(Fault, usize, bool)>,
    /// Calls on files that failed.
    pub(crate) file_calls: Tally,
    pub(crate) hang_ups: Tally,
    pub(crate) interruptions: Tally,
    pub(crate) staying: Tally,
    /// How many places and jobs the clients that stay know for certain, and were read back.
    pub(crate) certain: usize,
    /// How many imports were answered 2xx, and how many not.
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

/// How many broken promises are printed.
const MAX_PRINTED: usize = 40;

impl Report {
    /// The promises that were broken.
    pub fn broken(&self) -> &[String] {
        &self.broken
    }

    /// The kinds of faults that were made and that no figure has shown.
    pub fn not_shown(&self) -> Vec<String> {
        let hidden = self
            .faults
            .iter()
            .filter(|(_, count, shown)| *count > 0 && !shown);
        hidden.map(|(fault, ..)| fault.to_string()).collect()
    }

    /// The kinds of clients that did nothing.
    pub fn idle(&self) -> Vec<&'static str> {
        let kinds = [
            ("clients that hang up", &self.hang_ups),
            ("clients that stay", &self.staying),
            ("interrupted imports", &self.interruptions),
        ];
        let idle = kinds.into_iter().filter(|(_, tally)| tally.total() == 0);
        idle.map(|(kind, _)| kind).collect()
    }

    /// How many calls on files failed.
    pub fn failed_file_calls(&self) -> usize {
        self.file_calls.total()
    }

    /// How often a past attempt tried to write and was refused.
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
        writeln!(f, "hung up during {}", self.hang_ups)?;
        writeln!(f, "running imports interrupted: {}", self.interruptions)?;
        writeln!(f, "clients that stayed: {}", self.staying)?;
        writeln!(f, "{} of their places and jobs read back", self.certain)?;
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
            "{rescued} jobs rescued, {handed_back} handed back, {refused_writes} past attempts refused"
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

/// The text that all promises of a kind share: the first words without numbers and names.
fn kind_of(promise: &str) -> String {
    let is_plain = |word: &&str| !word.contains(|letter: char| letter.is_ascii_digit());
    let words: Vec<&str> = promise.split_whitespace().filter(is_plain).collect();
    words[..words.len().min(8)].join(" ")
}

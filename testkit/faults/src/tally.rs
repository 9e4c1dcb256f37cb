//! Counts of actions and faults by kind.

use std::{collections::BTreeMap, fmt};

#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(BTreeMap<String, usize>);

impl Tally {
    /// Counts one event of a kind.
    pub(crate) fn add(&mut self, kind: &str) {
        self.add_many(kind, 1);
    }

    /// Counts events of a kind. A kind without events is listed as well.
    pub(crate) fn add_many(&mut self, kind: &str, count: usize) {
        *self.0.entry(kind.to_owned()).or_default() += count;
    }

    /// Adds the counts of another tally.
    pub(crate) fn merge(&mut self, other: &Self) {
        for (kind, count) in &other.0 {
            self.add_many(kind, *count);
        }
    }

    /// Returns the number of events of all kinds.
    pub(crate) fn total(&self) -> usize {
        self.0.values().sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (kind, count)) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}{count} {kind}")?;
        }
        Ok(())
    }
}

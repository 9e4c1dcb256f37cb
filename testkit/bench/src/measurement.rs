//! A measurement of the table: what was measured, of whom, and what was aimed at.

use std::{fmt, time::Duration};

use crate::measure::Cost;

/// What a value counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Megabytes (10^6 bytes) a second.
    MegabytesPerSecond,
    /// What is done in a second.
    PerSecond,
    /// Milliseconds of waiting.
    Milliseconds,
    /// Hundredths of a processor's time.
    PercentOfCore,
    /// Statements to the database in a second.
    StatementsPerSecond,
    /// Mebibytes of memory.
    Mebibytes,
    /// Bytes fetched for each byte of the file.
    TimesItsSize,
}

impl Unit {
    /// As the table has it.
    pub(crate) fn symbol(self) -> &'static str {
        match self {
            Self::MegabytesPerSecond => "MB/s",
            Self::PerSecond => "/s",
            Self::Milliseconds => "ms",
            Self::PercentOfCore => "% core",
            Self::StatementsPerSecond => "stmt/s",
            Self::Mebibytes => "MiB",
            Self::TimesItsSize => "× size",
        }
    }

    /// Whether a larger value is the better one.
    fn more_is_better(self) -> bool {
        matches!(self, Self::MegabytesPerSecond | Self::PerSecond)
    }
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// In the unit of the measurement.
    pub(crate) value: f64,
    /// None where it says nothing.
    pub(crate) cost: Option<Cost>,
}

impl Run {
    /// A run that moved so many bytes.
    pub(crate) fn moved(bytes: u64, time: Duration, cost: Cost) -> Self {
        Self {
            value: bytes as f64 / 1e6 / time.as_secs_f64(),
            cost: Some(cost),
        }
    }

    /// A run that did so many things.
    pub(crate) fn done(count: usize, time: Duration, cost: Cost) -> Self {
        Self {
            value: count as f64 / time.as_secs_f64(),
            cost: Some(cost),
        }
    }

    /// A run in which 99 of 100 waited no longer than the value.
    pub(crate) fn waited(waits: &[Duration], cost: Option<Cost>) -> Self {
        let waits = Distribution::new(waits.iter().map(|wait| wait.as_secs_f64() * 1000.0));
        Self {
            value: waits.percentile(99),
            cost,
        }
    }
}

/// All runs of a program.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// What ran.
    pub(crate) name: String,
    /// The memory that it held before it had done anything, in bytes; 0 of a command.
    pub(crate) idle: u64,
    /// At least one.
    pub(crate) runs: Vec<Run>,
}

impl Side {
    /// The runs of a program that held so much memory before.
    pub(crate) fn new(name: &str, idle: u64, runs: Vec<Run>) -> Self {
        assert!(!runs.is_empty(), "{name} was not run");
        Self {
            name: name.to_owned(),
            idle,
            runs,
        }
    }

    /// The same runs, for the memory that each took above the idle size.
    pub(crate) fn memory(&self) -> Self {
        let above = |run: &Run| Run {
            value: run
                .cost
                .map_or(0, |cost| cost.peak.saturating_sub(self.idle)) as f64
                / f64::from(1 << 20),
            cost: run.cost,
        };
        Self::new(&self.name, self.idle, self.runs.iter().map(above).collect())
    }

    /// The values.
    pub(crate) fn values(&self) -> Distribution {
        Distribution::new(self.runs.iter().map(|run| run.value))
    }

    /// The median of the peaks, in mebibytes; none where nothing was watched.
    pub(crate) fn peak(&self) -> Option<f64> {
        let peak = |cost: Cost| cost.peak as f64 / f64::from(1 << 20);
        self.costs(peak)
    }

    /// The median of the processor times, in seconds; none where nothing was watched.
    pub(crate) fn processor(&self) -> Option<f64> {
        self.costs(|cost| cost.processor.as_secs_f64())
    }

    fn costs(&self, of: impl Fn(Cost) -> f64) -> Option<f64> {
        let costs = Distribution::new(self.runs.iter().filter_map(|run| run.cost).map(of));
        (!costs.0.is_empty()).then(|| costs.median())
    }
}

/// Distribution, in ascending order.
#[derive(Clone, Debug)]
pub(crate) struct Distribution(Vec<f64>);

impl Distribution {
    /// These.
    pub(crate) fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// The one in the middle, or the mean of the two that are. Panics if there is none.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len().is_multiple_of(2) {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        } else {
            self.0[middle]
        }
    }

    /// The smallest that so many percent do not exceed. Panics if there is none.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent).div_ceil(100).saturating_sub(1)]
    }

    /// The smallest and the largest. Panics if there is none.
    pub(crate) fn spread(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

/// What a measurement targets at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least so many times as good as the baseline.
    Ratio(f64),
    /// No larger value than this.
    AtMost(f64),
    /// No smaller value than this.
    AtLeast(f64),
}

/// What was measured.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    /// What of.
    pub(crate) name: String,
    /// What the values count.
    pub(crate) unit: Unit,
    /// This project.
    pub(crate) ours: Side,
    /// What a user would pick instead.
    pub(crate) baseline: Option<Side>,
    /// What is aimed at.
    pub(crate) targets: Vec<Target>,
    /// What has to be known to read it.
    pub(crate) note: &'static str,
}

impl Measurement {
    /// How many times as good as the baseline, by the medians: above 1 is better, whatever the unit.
    /// None without a baseline, and where a median is 0.
    pub(crate) fn ratio(&self) -> Option<f64> {
        let ours = self.ours.values().median();
        let theirs = self.baseline.as_ref()?.values().median();
        let (better, worse) = if self.unit.more_is_better() {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        (worse > 0.0 && better > 0.0).then(|| better / worse)
    }

    /// Whether an target is reached, by the medians.
    pub(crate) fn reaches(&self, target: Target) -> bool {
        match target {
            Target::Ratio(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Target::AtMost(most) => self.ours.values().median() <= most,
            Target::AtLeast(least) => self.ours.values().median() >= least,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(least) => write!(f, "≥ {least} ×"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A measurement with a baseline; each run costs 32 MiB and 1.5 s.
    pub(crate) fn measurement(unit: Unit, ours: &[f64], theirs: &[f64]) -> Measurement {
        let cost = Cost {
            peak: 32 << 20,
            processor: Duration::from_millis(1500),
        };
        let runs = |values: &[f64]| {
            let run = |value: &f64| Run {
                value: *value,
                cost: Some(cost),
            };
            values.iter().map(run).collect()
        };
        Measurement {
            name: "1 GiB <to> disk".to_owned(),
            unit,
            ours: Side::new("media", 8 << 20, runs(ours)),
            baseline: Some(Side::new("rclone", 0, runs(theirs))),
            targets: vec![Target::Ratio(0.9)],
            note: "",
        }
    }

    #[test]
    fn medians_stand_in_the_middle_of_whatever_order() {
        let median = |values: &[f64]| Distribution::new(values.iter().copied()).median();
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]).to_string(), "3");
        let spread = Distribution::new([3.0, 1.0, 2.0].into_iter()).spread();
        assert_eq!(format!("{spread:?}"), "(1.0, 3.0)");
        let of = |count: u32| Distribution::new((1..=count).map(f64::from)).percentile(99);
        assert_eq!(
            [of(1), of(100), of(200)].map(|value| value.to_string()),
            ["1", "99", "198"]
        );
    }

    #[test]
    fn a_ratio_above_one_is_better_whatever_is_counted() {
        let ratio = |unit, ours, theirs| measurement(unit, &[ours], &[theirs]).ratio();
        assert_eq!(ratio(Unit::MegabytesPerSecond, 300.0, 150.0), Some(2.0));
        assert_eq!(ratio(Unit::Mebibytes, 50.0, 100.0), Some(2.0));
        assert_eq!(ratio(Unit::Mebibytes, 0.0, 100.0), None);
    }

    #[test]
    fn an_aim_is_reached_or_not() {
        let measurement = measurement(Unit::Mebibytes, &[50.0], &[100.0]);
        for (target, reached) in [
            (Target::Ratio(2.0), true),
            (Target::Ratio(2.1), false),
            (Target::AtMost(50.0), true),
            (Target::AtMost(49.0), false),
            (Target::AtLeast(50.0), true),
            (Target::AtLeast(51.0), false),
        ] {
            assert_eq!(measurement.reaches(target), reached, "{target}");
        }
    }

    #[test]
    fn memory_is_what_comes_on_top_of_idleness() {
        let memory = measurement(Unit::MegabytesPerSecond, &[1.0], &[1.0])
            .ours
            .memory();
        assert_eq!(memory.values().median().to_string(), "24");
    }
}

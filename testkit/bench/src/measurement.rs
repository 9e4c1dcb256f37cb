//! One row of the table: the runs of the service and of its baseline, and the targets.

use std::{fmt, time::Duration};

use crate::measure::Cost;

/// The unit of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unit {
    /// Megabytes (10^6 bytes) per second.
    MegabytesPerSecond,
    /// Operations per second.
    PerSecond,
    /// Milliseconds of latency.
    Milliseconds,
    /// Percent of the time of one CPU core.
    PercentOfCore,
    /// Database statements per second.
    StatementsPerSecond,
    /// Mebibytes of memory.
    Mebibytes,
    /// Bytes fetched per byte of the file.
    TimesItsSize,
}

impl Unit {
    /// Returns the symbol in the table.
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

    /// Whether a larger value is better.
    fn more_is_better(self) -> bool {
        matches!(self, Self::MegabytesPerSecond | Self::PerSecond)
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Run {
    /// The value in the unit of the measurement.
    pub(crate) value: f64,
    /// `None` if it was not measured.
    pub(crate) cost: Option<Cost>,
}

impl Run {
    /// Returns a run whose value is a rate in MB/s.
    pub(crate) fn moved(bytes: u64, time: Duration, cost: Cost) -> Self {
        Self {
            value: bytes as f64 / 1e6 / time.as_secs_f64(),
            cost: Some(cost),
        }
    }

    /// Returns a run whose value is a rate of operations per second.
    pub(crate) fn done(count: usize, time: Duration, cost: Cost) -> Self {
        Self {
            value: count as f64 / time.as_secs_f64(),
            cost: Some(cost),
        }
    }

    /// Returns a run whose value is the 99th percentile of latencies, in milliseconds.
    pub(crate) fn waited(waits: &[Duration], cost: Option<Cost>) -> Self {
        let waits = Distribution::new(waits.iter().map(|wait| wait.as_secs_f64() * 1000.0));
        Self {
            value: waits.percentile(99),
            cost,
        }
    }
}

/// All runs of one program.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    /// The name of the program.
    pub(crate) name: String,
    /// The memory before the first operation, in bytes; 0 for a command.
    pub(crate) idle: u64,
    /// At least one run.
    pub(crate) runs: Vec<Run>,
}

impl Side {
    /// Creates a side. Panics if there are no runs.
    pub(crate) fn new(name: &str, idle: u64, runs: Vec<Run>) -> Self {
        assert!(!runs.is_empty(), "{name} was not run");
        Self {
            name: name.to_owned(),
            idle,
            runs,
        }
    }

    /// Returns the same runs with the memory above the idle size as their value.
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

    pub(crate) fn values(&self) -> Distribution {
        Distribution::new(self.runs.iter().map(|run| run.value))
    }

    /// Returns the median of the memory peaks in mebibytes, or `None` if none was measured.
    pub(crate) fn peak(&self) -> Option<f64> {
        let peak = |cost: Cost| cost.peak as f64 / f64::from(1 << 20);
        self.costs(peak)
    }

    /// Returns the median of the CPU times in seconds, or `None` if none was measured.
    pub(crate) fn processor(&self) -> Option<f64> {
        self.costs(|cost| cost.processor.as_secs_f64())
    }

    fn costs(&self, of: impl Fn(Cost) -> f64) -> Option<f64> {
        let costs = Distribution::new(self.runs.iter().filter_map(|run| run.cost).map(of));
        (!costs.0.is_empty()).then(|| costs.median())
    }
}

/// Values in ascending order.
#[derive(Clone, Debug)]
pub(crate) struct Distribution(Vec<f64>);

impl Distribution {
    pub(crate) fn new(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        Self(values)
    }

    /// Returns the median. Panics if there are no values.
    pub(crate) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len().is_multiple_of(2) {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        } else {
            self.0[middle]
        }
    }

    /// Returns the smallest value that `percent` percent of the values do not exceed. Panics if there are no
    /// values.
    pub(crate) fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent).div_ceil(100).saturating_sub(1)]
    }

    /// Returns the smallest and the largest value. Panics if there are no values.
    pub(crate) fn spread(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

/// A target of a measurement.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Target {
    /// At least this ratio to the baseline.
    Ratio(f64),
    /// At most this value.
    AtMost(f64),
    /// At least this value.
    AtLeast(f64),
}

/// A measurement with its name and targets.
#[derive(Clone, Debug)]
pub(crate) struct Measurement {
    pub(crate) name: String,
    pub(crate) unit: Unit,
    /// This project.
    pub(crate) ours: Side,
    /// The tool that a user would choose instead.
    pub(crate) baseline: Option<Side>,
    pub(crate) targets: Vec<Target>,
    /// A note that is printed below the table.
    pub(crate) note: &'static str,
}

impl Measurement {
    /// Returns the ratio of the medians of the service and the baseline: above 1 the service is better, in
    /// every unit. Returns `None` without a baseline, and if a median is 0.
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

    /// Returns whether a target is reached, by the medians.
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

    /// Returns a measurement with a baseline; each run costs 32 MiB and 1.5 s.
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
    fn the_median_does_not_depend_on_the_order() {
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
    fn a_ratio_above_one_is_better_in_every_unit() {
        let ratio = |unit, ours, theirs| measurement(unit, &[ours], &[theirs]).ratio();
        assert_eq!(ratio(Unit::MegabytesPerSecond, 300.0, 150.0), Some(2.0));
        assert_eq!(ratio(Unit::Mebibytes, 50.0, 100.0), Some(2.0));
        assert_eq!(ratio(Unit::Mebibytes, 0.0, 100.0), None);
    }

    #[test]
    fn a_target_is_reached_or_missed() {
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
    fn memory_is_measured_above_the_idle_size() {
        let memory = measurement(Unit::MegabytesPerSecond, &[1.0], &[1.0])
            .ours
            .memory();
        assert_eq!(memory.values().median().to_string(), "24");
    }
}

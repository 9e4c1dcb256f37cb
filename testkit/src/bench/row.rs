//! A row of the table: what was measured, of whom, and what was aimed at.

use std::{fmt, time::Duration};

use super::measure::Cost;

/// What a figure counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
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
    pub(super) fn symbol(self) -> &'static str {
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

    /// Whether a larger figure is the better one.
    fn more_is_better(self) -> bool {
        matches!(self, Self::MegabytesPerSecond | Self::PerSecond)
    }
}

/// One run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Run {
    /// In the unit of the row.
    pub(super) figure: f64,
    /// None where it says nothing.
    pub(super) cost: Option<Cost>,
}

impl Run {
    /// A run that moved so many bytes.
    pub(super) fn moved(bytes: u64, time: Duration, cost: Cost) -> Self {
        Self {
            figure: bytes as f64 / 1e6 / time.as_secs_f64(),
            cost: Some(cost),
        }
    }

    /// A run that did so many things.
    pub(super) fn done(count: usize, time: Duration, cost: Cost) -> Self {
        Self {
            figure: count as f64 / time.as_secs_f64(),
            cost: Some(cost),
        }
    }

    /// A run in which 99 of 100 waited no longer than the figure.
    pub(super) fn waited(waits: &[Duration], cost: Option<Cost>) -> Self {
        let waits = Figures::new(waits.iter().map(|wait| wait.as_secs_f64() * 1000.0));
        Self {
            figure: waits.percentile(99),
            cost,
        }
    }
}

/// All runs of a program.
#[derive(Clone, Debug)]
pub(super) struct Side {
    /// What ran.
    pub(super) name: String,
    /// The memory that it held before it had done anything, in bytes; 0 of a command.
    pub(super) idle: u64,
    /// At least one.
    pub(super) runs: Vec<Run>,
}

impl Side {
    /// The runs of a program that held so much memory before.
    pub(super) fn new(name: &str, idle: u64, runs: Vec<Run>) -> Self {
        assert!(!runs.is_empty(), "{name} was not run");
        Self {
            name: name.to_owned(),
            idle,
            runs,
        }
    }

    /// The same runs, for the memory that each took above the idle size.
    pub(super) fn memory(&self) -> Self {
        let above = |run: &Run| Run {
            figure: run
                .cost
                .map_or(0, |cost| cost.peak.saturating_sub(self.idle)) as f64
                / f64::from(1 << 20),
            cost: run.cost,
        };
        Self::new(&self.name, self.idle, self.runs.iter().map(above).collect())
    }

    /// The figures.
    pub(super) fn figures(&self) -> Figures {
        Figures::new(self.runs.iter().map(|run| run.figure))
    }

    /// The median of the peaks, in mebibytes; none where nothing was watched.
    pub(super) fn peak(&self) -> Option<f64> {
        let peak = |cost: Cost| cost.peak as f64 / f64::from(1 << 20);
        self.costs(peak)
    }

    /// The median of the processor times, in seconds; none where nothing was watched.
    pub(super) fn processor(&self) -> Option<f64> {
        self.costs(|cost| cost.processor.as_secs_f64())
    }

    fn costs(&self, of: impl Fn(Cost) -> f64) -> Option<f64> {
        let costs = Figures::new(self.runs.iter().filter_map(|run| run.cost).map(of));
        (!costs.0.is_empty()).then(|| costs.median())
    }
}

/// Figures, in ascending order.
#[derive(Clone, Debug)]
pub(super) struct Figures(Vec<f64>);

impl Figures {
    /// These.
    pub(super) fn new(figures: impl Iterator<Item = f64>) -> Self {
        let mut figures: Vec<f64> = figures.collect();
        figures.sort_by(f64::total_cmp);
        Self(figures)
    }

    /// The one in the middle, or the mean of the two that are. Panics if there is none.
    pub(super) fn median(&self) -> f64 {
        let middle = self.0.len() / 2;
        if self.0.len().is_multiple_of(2) {
            f64::midpoint(self.0[middle - 1], self.0[middle])
        } else {
            self.0[middle]
        }
    }

    /// The smallest that so many percent do not exceed. Panics if there is none.
    pub(super) fn percentile(&self, percent: usize) -> f64 {
        self.0[(self.0.len() * percent).div_ceil(100).saturating_sub(1)]
    }

    /// The smallest and the largest. Panics if there is none.
    pub(super) fn spread(&self) -> (f64, f64) {
        (self.0[0], self.0[self.0.len() - 1])
    }
}

/// What a row aims at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Aim {
    /// At least so many times as good as the yardstick.
    Ratio(f64),
    /// No larger figure than this.
    AtMost(f64),
    /// No smaller figure than this.
    AtLeast(f64),
}

/// What was measured.
#[derive(Clone, Debug)]
pub(super) struct Row {
    /// What of.
    pub(super) name: String,
    /// What the figures count.
    pub(super) unit: Unit,
    /// This project.
    pub(super) ours: Side,
    /// What a user would pick instead.
    pub(super) yardstick: Option<Side>,
    /// What is aimed at.
    pub(super) aims: Vec<Aim>,
    /// What has to be known to read it.
    pub(super) note: &'static str,
}

impl Row {
    /// How many times as good as the yardstick, by the medians: above 1 is better, whatever the unit.
    /// None without a yardstick, and where a median is 0.
    pub(super) fn ratio(&self) -> Option<f64> {
        let ours = self.ours.metrics().median();
        let theirs = self.yardstick.as_ref()?.metrics().median();
        let (better, worse) = if self.unit.more_is_better() {
            (ours, theirs)
        } else {
            (theirs, ours)
        };
        (worse > 0.0 && better > 0.0).then(|| better / worse)
    }

    /// Whether an aim is reached, by the medians.
    pub(super) fn write_scope(&self, aim: Aim) -> bool {
        match aim {
            Aim::Ratio(least) => self.ratio().is_some_and(|ratio| ratio >= least),
            Aim::AtMost(most) => self.ours.metrics().median() <= most,
            Aim::AtLeast(least) => self.ours.metrics().median() >= least,
        }
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ratio(least) => write!(f, "≥ {least} ×"),
            Self::AtMost(most) => write!(f, "≤ {most}"),
            Self::AtLeast(least) => write!(f, "≥ {least}"),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A row with a yardstick; each run costs 32 MiB and 1.5 s.
    pub(in super::super) fn row(unit: Unit, ours: &[f64], theirs: &[f64]) -> Row {
        let cost = Cost {
            peak: 32 << 20,
            processor: Duration::from_millis(1500),
        };
        let runs = |figures: &[f64]| {
            let run = |figure: &f64| Run {
                figure: *figure,
                cost: Some(cost),
            };
            figures.iter().map(run).collect()
        };
        Row {
            name: "1 GiB <to> disk".to_owned(),
            unit,
            ours: Side::new("media", 8 << 20, runs(ours)),
            yardstick: Some(Side::new("rclone", 0, runs(theirs))),
            aims: vec![Aim::Ratio(0.9)],
            note: "",
        }
    }

    #[test]
    fn medians_stand_in_the_middle_of_whatever_order() {
        let median = |figures: &[f64]| Figures::new(figures.iter().copied()).median();
        assert_eq!(median(&[3.0, 1.0, 2.0]).to_string(), "2");
        assert_eq!(median(&[4.0, 1.0, 2.0, 100.0]).to_string(), "3");
        let spread = Figures::new([3.0, 1.0, 2.0].into_iter()).spread();
        assert_eq!(format!("{spread:?}"), "(1.0, 3.0)");
        let of = |count: u32| Figures::new((1..=count).map(f64::from)).percentile(99);
        assert_eq!(
            [of(1), of(100), of(200)].map(|figure| figure.to_string()),
            ["1", "99", "198"]
        );
    }

    #[test]
    fn a_ratio_above_one_is_better_whatever_is_counted() {
        let ratio = |unit, ours, theirs| row(unit, &[ours], &[theirs]).ratio();
        assert_eq!(ratio(Unit::MegabytesPerSecond, 300.0, 150.0), Some(2.0));
        assert_eq!(ratio(Unit::Mebibytes, 50.0, 100.0), Some(2.0));
        assert_eq!(ratio(Unit::Mebibytes, 0.0, 100.0), None);
    }

    #[test]
    fn an_aim_is_reached_or_not() {
        let row = row(Unit::Mebibytes, &[50.0], &[100.0]);
        for (aim, reached) in [
            (Aim::Ratio(2.0), true),
            (Aim::Ratio(2.1), false),
            (Aim::AtMost(50.0), true),
            (Aim::AtMost(49.0), false),
            (Aim::AtLeast(50.0), true),
            (Aim::AtLeast(51.0), false),
        ] {
            assert_eq!(row.reaches(aim), reached, "{aim}");
        }
    }

    #[test]
    fn memory_is_what_comes_on_top_of_idleness() {
        let memory = row(Unit::MegabytesPerSecond, &[1.0], &[1.0]).ours.memory();
        assert_eq!(memory.metrics().median().to_string(), "24");
    }
}

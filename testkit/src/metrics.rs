//! The metrics of a program.

use std::{collections::BTreeMap, fmt};

/// A snapshot of `/metrics`.
#[derive(Clone, Debug, Default)]
pub struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Parses OpenMetrics text, restricted to what this service writes: no label value contains a quote or a
    /// comma.
    pub fn read(exposition: &str) -> Self {
        let mut lines = exposition.lines().collect::<Vec<_>>();
        assert_eq!(lines.pop(), Some("# EOF"), "{exposition}");
        let metrics = lines.into_iter().filter(|line| !line.starts_with('#'));
        Self(metrics.map(read_line).collect())
    }

    /// Returns the sample with this name and these labels, which may be in any order.
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let labels = labels
            .iter()
            .map(|(label, value)| format!("{label}=\"{value}\""));
        self.0.get(&key(name, labels.collect())).copied()
    }

    /// Returns the sum of all samples with a name.
    pub fn sum(&self, name: &str) -> f64 {
        self.0
            .iter()
            .filter(|(key, _)| key.split('{').next() == Some(name))
            .map(|(_, value)| value)
            .sum()
    }

    /// Returns the names of all samples, each once.
    pub fn names(&self) -> Vec<String> {
        let names = self.0.keys().filter_map(|key| key.split('{').next());
        let mut names: Vec<String> = names.map(ToOwned::to_owned).collect();
        names.dedup();
        names
    }
}

impl fmt::Display for Metrics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|(key, value)| writeln!(formatter, "{key} {value}"))
    }
}

fn read_line(line: &str) -> (String, f64) {
    let (series, value) = line.rsplit_once(' ').expect("a sample has a value");
    let value = value.parse().expect("a value is a number");
    match series.split_once('{') {
        Some((name, labels)) => {
            let labels = labels.strip_suffix('}').expect("labels end").split(',');
            (key(name, labels.map(ToOwned::to_owned).collect()), value)
        }
        None => (key(series, Vec::new()), value),
    }
}

fn key(name: &str, mut labels: Vec<String>) -> String {
    labels.sort_unstable();
    format!("{name}{{{}}}", labels.join(","))
}

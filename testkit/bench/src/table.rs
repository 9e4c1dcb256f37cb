//! The table as text.

use std::fmt::Write as _;

use crate::measurement::{Measurement, Side};

/// The headers of the columns, without the last one.
const HEADERS: [&str; 8] = [
    "", "unit", "ours", "baseline", "theirs", "ratio", "peak MiB", "CPU s",
];

/// Formats all measurements: medians, the smallest and the largest of several runs, and whether the targets
/// are reached. Memory and CPU time are those of the service, then those of the baseline; the idle memory of
/// a program is in parentheses.
pub(crate) fn text(measurements: &[Measurement]) -> String {
    let mut lines = vec![HEADERS.map(str::to_owned).to_vec()];
    lines[0].push("target".to_owned());
    lines.extend(measurements.iter().map(cells));
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..=HEADERS.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| {
            // Padding by characters, not by bytes.
            format!("{cell}{}", " ".repeat(width - cell.chars().count()))
        });
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    for measurement in measurements
        .iter()
        .filter(|measurement| !measurement.note.is_empty())
    {
        let _ = writeln!(text, "{}: {}", measurement.name, measurement.note);
    }
    text
}

fn cells(measurement: &Measurement) -> Vec<String> {
    let baseline = measurement.baseline.as_ref();
    let targets = measurement.targets.iter().map(|target| {
        let reached = if measurement.reaches(*target) {
            "yes"
        } else {
            "NO"
        };
        format!("{target} {reached}")
    });
    vec![
        measurement.name.clone(),
        measurement.unit.symbol().to_owned(),
        values(&measurement.ours),
        baseline.map_or_else(String::new, |side| side.name.clone()),
        baseline.map_or_else(String::new, values),
        measurement
            .ratio()
            .map_or_else(String::new, |ratio| format!("{} ×", digits(ratio))),
        both(measurement, |side| {
            let peak = digits(side.peak()?);
            let idle = side.idle >> 20;
            Some(if idle == 0 {
                peak
            } else {
                format!("{peak} ({idle})")
            })
        }),
        both(measurement, |side| {
            Some(format!("{:.2}", side.processor()?))
        }),
        targets.collect::<Vec<_>>().join(", "),
    ]
}

fn both(measurement: &Measurement, of: impl Fn(&Side) -> Option<String>) -> String {
    let sides = [Some(&measurement.ours), measurement.baseline.as_ref()];
    let texts = sides.into_iter().flatten().filter_map(of);
    texts.collect::<Vec<_>>().join(" / ")
}

fn values(side: &Side) -> String {
    let values = side.values();
    let median = digits(values.median());
    let (least, most) = values.spread();
    if side.runs.len() == 1 {
        return median;
    }
    format!("{median} ({}–{})", digits(least), digits(most))
}

/// Formats a value with three significant digits.
pub(crate) fn digits(value: f64) -> String {
    match value.abs() {
        0.0 => "0".to_owned(),
        small if small < 0.9995 => format!("{value:.3}"),
        small if small < 9.995 => format!("{value:.2}"),
        middling if middling < 99.95 => format!("{value:.1}"),
        _ => format!("{value:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Target, Unit, tests::measurement};

    #[test]
    fn a_row_shows_medians_spread_ratio_costs_and_targets() {
        let mut measurement =
            measurement(Unit::MegabytesPerSecond, &[300.0, 280.0, 310.0], &[200.0]);
        measurement.targets.push(Target::Ratio(2.0));
        measurement.note = "of three runs";
        let text = text(&[measurement]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines[1]
                .split("  ")
                .filter(|cell| !cell.is_empty())
                .map(str::trim)
                .collect::<Vec<_>>(),
            [
                "1 GiB <to> disk",
                "MB/s",
                "300 (280–310)",
                "rclone",
                "200",
                "1.50 ×",
                "32.0 (8) / 32.0",
                "1.50 / 1.50",
                "≥ 0.9 × yes, ≥ 2 × NO"
            ]
        );
        assert_eq!(lines[2], "1 GiB <to> disk: of three runs");
        let starts = |line: &str, cell: &str| {
            let (before, _) = line.split_once(cell).unwrap();
            before.chars().count()
        };
        assert_eq!(starts(lines[0], "target"), starts(lines[1], "≥ 0.9"));
    }

    #[test]
    fn values_have_three_significant_digits() {
        for (value, text) in [
            (0.0, "0"),
            (0.0471, "0.047"),
            (0.9996, "1.00"),
            (9.996, "10.0"),
            (99.94, "99.9"),
            (99.96, "100"),
            (1234.4, "1234"),
        ] {
            assert_eq!(digits(value), text);
        }
    }
}

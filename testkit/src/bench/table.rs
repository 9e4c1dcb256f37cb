//! The table, as text.

use std::fmt::Write as _;

use super::row::{Row, Side};

/// The heads of the columns.
const HEAD: [&str; 8] = [
    "",
    "unit",
    "ours",
    "yardstick",
    "theirs",
    "ratio",
    "peak MiB",
    "CPU s",
];

/// All rows: medians, the least and the most of several runs, and whether what was aimed at is
/// reached. Memory and processor time are ours, then the yardstick's; what a program held before it had
/// done anything stands in brackets.
pub(super) fn text(rows: &[Row]) -> String {
    let mut lines = vec![HEAD.map(str::to_owned).to_vec()];
    lines[0].push("aim".to_owned());
    lines.extend(rows.iter().map(cells));
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<usize> = (0..=HEAD.len()).map(width).collect();
    let mut text = String::new();
    for line in &lines {
        let padded = line.iter().zip(&widths).map(|(cell, width)| {
            // By characters, not by bytes.
            format!("{cell}{}", " ".repeat(width - cell.chars().count()))
        });
        text += padded.collect::<Vec<_>>().join("  ").trim_end();
        text.push('\n');
    }
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        let _ = writeln!(text, "{}: {}", row.name, row.note);
    }
    text
}

fn cells(row: &Row) -> Vec<String> {
    let yardstick = row.yardstick.as_ref();
    let aims = row.aims.iter().map(|aim| {
        let reached = if row.reaches(*aim) { "yes" } else { "NO" };
        format!("{aim} {reached}")
    });
    vec![
        row.name.clone(),
        row.unit.symbol().to_owned(),
        figures(&row.ours),
        yardstick.map_or_else(String::new, |side| side.name.clone()),
        yardstick.map_or_else(String::new, figures),
        row.ratio()
            .map_or_else(String::new, |ratio| format!("{} ×", digits(ratio))),
        both(row, |side| {
            let peak = digits(side.peak()?);
            let idle = side.idle >> 20;
            Some(if idle == 0 {
                peak
            } else {
                format!("{peak} ({idle})")
            })
        }),
        both(row, |side| Some(format!("{:.2}", side.processor()?))),
        aims.collect::<Vec<_>>().join(", "),
    ]
}

fn both(row: &Row, of: impl Fn(&Side) -> Option<String>) -> String {
    let sides = [Some(&row.ours), row.yardstick.as_ref()];
    let texts = sides.into_iter().flatten().filter_map(of);
    texts.collect::<Vec<_>>().join(" / ")
}

fn figures(side: &Side) -> String {
    let figures = side.metrics();
    let median = digits(figures.median());
    let (least, most) = figures.spread();
    if side.runs.len() == 1 {
        return median;
    }
    format!("{median} ({}–{})", digits(least), digits(most))
}

/// Three digits that say something.
pub(super) fn digits(figure: f64) -> String {
    match figure.abs() {
        0.0 => "0".to_owned(),
        small if small < 0.9995 => format!("{figure:.3}"),
        small if small < 9.995 => format!("{figure:.2}"),
        middling if middling < 99.95 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::row::{Aim, Unit, tests::row},
        *,
    };

    #[test]
    fn a_row_says_medians_spread_ratio_costs_and_aims() {
        let mut row = row(Unit::MegabytesPerSecond, &[300.0, 280.0, 310.0], &[200.0]);
        row.aims.push(Aim::Ratio(2.0));
        row.note = "of three runs";
        let text = text(&[row]);
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
        assert_eq!(starts(lines[0], "aim"), starts(lines[1], "≥ 0.9"));
    }

    #[test]
    fn three_digits_say_enough() {
        for (figure, text) in [
            (0.0, "0"),
            (0.0471, "0.047"),
            (0.9996, "1.00"),
            (9.996, "10.0"),
            (99.94, "99.9"),
            (99.96, "100"),
            (1234.4, "1234"),
        ] {
            assert_eq!(digits(figure), text);
        }
    }
}

//! The ratios as a bar chart.

use std::fmt::Write as _;

use crate::{
    measurement::{Measurement, Target},
    table::digits,
};

const WIDTH: f64 = 900.0;
/// The horizontal range of the bars; names are on their left, values on their right.
const BAR_RANGE: (f64, f64) = (330.0, 820.0);
/// The height of a bar with its margin.
const LINE_HEIGHT: f64 = 26.0;
/// The ratios at both ends of the axis.
const RATIO_RANGE: (f64, f64) = (1.0 / 16.0, 64.0);

/// Draws a bar for each measurement with a baseline, from 1 to the left or right, and a mark for each target
/// ratio. The scale is logarithmic, so that twice and half as fast are bars of one length.
pub(crate) fn svg(measurements: &[Measurement]) -> String {
    let measurements: Vec<(&Measurement, f64)> = measurements
        .iter()
        .filter_map(|measurement| Some((measurement, measurement.ratio()?)))
        .collect();
    let height = LINE_HEIGHT * (measurements.len() as f64 + 2.0);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    for (tick, colour) in [
        (0.125, "lightgrey"),
        (0.5, "lightgrey"),
        (1.0, "black"),
        (2.0, "lightgrey"),
        (8.0, "lightgrey"),
        (32.0, "lightgrey"),
    ] {
        let x = place(tick);
        let _ = writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{LINE_HEIGHT}\" x2=\"{x:.1}\" y2=\"{height}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"16\" text-anchor=\"middle\">{tick} ×</text>"
        );
    }
    for (number, (measurement, ratio)) in measurements.into_iter().enumerate() {
        bar(
            &mut svg,
            measurement,
            ratio,
            LINE_HEIGHT * (number as f64 + 1.5),
        );
    }
    svg += "</svg>\n";
    svg
}

fn bar(svg: &mut String, measurement: &Measurement, ratio: f64, top: f64) {
    let (one, end) = (place(1.0), place(ratio));
    let (left, width) = (one.min(end), (one - end).abs());
    let missed = measurement
        .targets
        .iter()
        .any(|target| !measurement.reaches(*target));
    let colour = if missed { "indianred" } else { "seagreen" };
    let against = measurement.baseline.as_ref().map_or("", |side| &side.name);
    let (name, against) = (escape(&measurement.name), escape(against));
    let (middle, height) = (top + LINE_HEIGHT * 0.65, LINE_HEIGHT - 6.0);
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{name}: {against}</text>\
         <rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>\
         <text x=\"{:.1}\" y=\"{middle:.1}\">{} ×</text>",
        BAR_RANGE.0 - 8.0,
        top + 3.0,
        BAR_RANGE.1 + 8.0,
        digits(ratio)
    );
    for target in &measurement.targets {
        if let Target::Ratio(least) = target {
            let x = place(*least);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"black\" \
                 stroke-width=\"2\" stroke-dasharray=\"3\"/>",
                top + LINE_HEIGHT
            );
        }
    }
}

/// Returns the horizontal position of a ratio.
fn place(ratio: f64) -> f64 {
    let (least, most) = RATIO_RANGE;
    let part = (ratio.clamp(least, most) / least).ln() / (most / least).ln();
    BAR_RANGE.0 + part * (BAR_RANGE.1 - BAR_RANGE.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Unit, tests::measurement};

    #[test]
    fn twice_and_half_are_at_the_same_distance_from_one() {
        let (half, one, twice) = (place(0.5), place(1.0), place(2.0));
        assert!((one - half - (twice - one)).abs() < 1e-6);
        assert!((place(1e9) - BAR_RANGE.1).abs() < 1e-6);
        assert!((place(0.0) - BAR_RANGE.0).abs() < 1e-6);
    }

    #[test]
    fn a_measurement_with_a_baseline_gets_a_bar_coloured_by_its_targets() {
        let mut alone = measurement(Unit::Mebibytes, &[1.0], &[1.0]);
        alone.baseline = None;
        let measurements = [
            measurement(Unit::MegabytesPerSecond, &[2.0], &[1.0]),
            measurement(Unit::MegabytesPerSecond, &[0.5], &[1.0]),
            alone,
        ];
        let svg = svg(&measurements);
        assert_eq!(svg.matches("seagreen").count(), 1, "{svg}");
        assert_eq!(svg.matches("indianred").count(), 1, "{svg}");
        assert_eq!(svg.matches("&lt;to>").count(), 2, "{svg}");
        assert!(svg.starts_with("<svg") && svg.ends_with("</svg>\n"));
    }
}

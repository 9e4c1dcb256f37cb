//! The ratios as a chart.

use std::fmt::Write as _;

use crate::{
    measurement::{Measurement, Target},
    table::digits,
};

const WIDTH: f64 = 900.0;
/// Where the bars begin and end; the names stand before, the values behind.
const BARS: (f64, f64) = (330.0, 820.0);
const LINE: f64 = 26.0;
/// The ratios at the two ends.
const SCALE: (f64, f64) = (1.0 / 16.0, 64.0);

/// A bar for each measurement that has a baseline, from 1 to the left or to the right, and a mark where a ratio
/// was aimed at. The scale is logarithmic, so that twice and half are of one length.
pub(crate) fn svg(measurements: &[Measurement]) -> String {
    let measurements: Vec<(&Measurement, f64)> = measurements
        .iter()
        .filter_map(|measurement| Some((measurement, measurement.ratio()?)))
        .collect();
    let height = LINE * (measurements.len() as f64 + 2.0);
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
            "<line x1=\"{x:.1}\" y1=\"{LINE}\" x2=\"{x:.1}\" y2=\"{height}\" stroke=\"{colour}\"/>\
             <text x=\"{x:.1}\" y=\"16\" text-anchor=\"middle\">{tick} ×</text>"
        );
    }
    for (number, (measurement, ratio)) in measurements.into_iter().enumerate() {
        bar(&mut svg, measurement, ratio, LINE * (number as f64 + 1.5));
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
    let (middle, height) = (top + LINE * 0.65, LINE - 6.0);
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{middle:.1}\" text-anchor=\"end\">{name}: {against}</text>\
         <rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{width:.1}\" height=\"{height}\" fill=\"{colour}\"/>\
         <text x=\"{:.1}\" y=\"{middle:.1}\">{} ×</text>",
        BARS.0 - 8.0,
        top + 3.0,
        BARS.1 + 8.0,
        digits(ratio)
    );
    for target in &measurement.targets {
        if let Target::Ratio(least) = target {
            let x = place(*least);
            let _ = writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{top:.1}\" x2=\"{x:.1}\" y2=\"{:.1}\" stroke=\"black\" \
                 stroke-width=\"2\" stroke-dasharray=\"3\"/>",
                top + LINE
            );
        }
    }
}

/// Where a ratio is.
fn place(ratio: f64) -> f64 {
    let (least, most) = SCALE;
    let part = (ratio.clamp(least, most) / least).ln() / (most / least).ln();
    BARS.0 + part * (BARS.1 - BARS.0)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Unit, tests::measurement};

    #[test]
    fn twice_and_half_are_equally_far_from_one() {
        let (half, one, twice) = (place(0.5), place(1.0), place(2.0));
        assert!((one - half - (twice - one)).abs() < 1e-6);
        assert!((place(1e9) - BARS.1).abs() < 1e-6);
        assert!((place(0.0) - BARS.0).abs() < 1e-6);
    }

    #[test]
    fn rows_with_a_yardstick_get_a_bar_of_their_verdict() {
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

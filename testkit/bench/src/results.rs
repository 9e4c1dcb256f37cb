//! The results as JSON.

use serde_json::{Value, json};

use crate::measurement::{Measurement, Side};

/// Returns every run of every measurement in its unit; memory in bytes, CPU time in seconds.
pub(crate) fn json(measurements: &[Measurement]) -> Value {
    measurements.iter().map(measurement).collect()
}

fn measurement(measurement: &Measurement) -> Value {
    let targets = measurement.targets.iter().map(
        |target| json!({ "target": target.to_string(), "reached": measurement.reaches(*target) }),
    );
    json!({
        "name": measurement.name,
        "unit": measurement.unit.symbol(),
        "ours": side(&measurement.ours),
        "baseline": measurement.baseline.as_ref().map(side),
        "ratio": measurement.ratio(),
        "targets": targets.collect::<Vec<_>>(),
        "note": measurement.note,
    })
}

fn side(side: &Side) -> Value {
    let values = side.values();
    let (least, most) = values.spread();
    let runs = side.runs.iter().map(|run| {
        json!({
            "value": run.value,
            "peak_memory": run.cost.map(|cost| cost.peak),
            "processor_seconds": run.cost.map(|cost| cost.processor.as_secs_f64()),
        })
    });
    json!({
        "name": side.name,
        "median": values.median(),
        "least": least,
        "most": most,
        "idle_memory": side.idle,
        "runs": runs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measurement::{Unit, tests::measurement};

    #[test]
    fn the_document_contains_every_run() {
        let measurements = [measurement(
            Unit::MegabytesPerSecond,
            &[3.0, 1.0, 2.0],
            &[4.0],
        )];
        let document = json(&measurements);
        let measurement = &document[0];
        assert_eq!(measurement["ours"]["median"], 2.0);
        assert_eq!(measurement["ours"]["runs"][0]["value"], 3.0);
        assert_eq!(measurement["ours"]["runs"][0]["peak_memory"], 32 << 20);
        assert_eq!(measurement["ours"]["runs"][0]["processor_seconds"], 1.5);
        assert_eq!(measurement["baseline"]["name"], "rclone");
        assert_eq!(measurement["ratio"], 0.5);
        assert_eq!(measurement["targets"][0]["reached"], false);
    }
}

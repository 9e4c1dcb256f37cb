//! The results as JSON.

use serde_json::{Value, json};

use super::row::{Row, Side};

/// Every run of every row, in its unit; memory in bytes, processor time in seconds.
pub(super) fn json(rows: &[Row]) -> Value {
    rows.iter().map(row).collect()
}

fn row(row: &Row) -> Value {
    let aims = row
        .aims
        .iter()
        .map(|aim| json!({ "aim": aim.to_string(), "reached": row.reaches(*aim) }));
    json!({
        "name": row.name,
        "unit": row.unit.symbol(),
        "ours": side(&row.ours),
        "yardstick": row.yardstick.as_ref().map(side),
        "ratio": row.ratio(),
        "aims": aims.collect::<Vec<_>>(),
        "note": row.note,
    })
}

fn side(side: &Side) -> Value {
    let figures = side.metrics();
    let (least, most) = figures.spread();
    let runs = side.runs.iter().map(|run| {
        json!({
            "figure": run.figure,
            "peak_memory": run.cost.map(|cost| cost.peak),
            "processor_seconds": run.cost.map(|cost| cost.processor.as_secs_f64()),
        })
    });
    json!({
        "name": side.name,
        "median": figures.median(),
        "least": least,
        "most": most,
        "idle_memory": side.idle,
        "runs": runs.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{
        super::row::{Unit, tests::row},
        *,
    };

    #[test]
    fn every_run_is_kept() {
        let rows = [row(Unit::MegabytesPerSecond, &[3.0, 1.0, 2.0], &[4.0])];
        let document = json(&rows);
        let row = &document[0];
        assert_eq!(row["ours"]["median"], 2.0);
        assert_eq!(row["ours"]["runs"][0]["figure"], 3.0);
        assert_eq!(row["ours"]["runs"][0]["peak_memory"], 32 << 20);
        assert_eq!(row["ours"]["runs"][0]["processor_seconds"], 1.5);
        assert_eq!(row["yardstick"]["name"], "rclone");
        assert_eq!(row["ratio"], 0.5);
        assert_eq!(row["aims"][0]["reached"], false);
    }
}

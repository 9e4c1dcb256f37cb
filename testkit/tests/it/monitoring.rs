//! The dashboard and the alerts name existing metrics only.

use std::{collections::BTreeSet, path::Path};

use media_testkit::cluster::Cluster;

/// A metric of Prometheus itself.
const OF_PROMETHEUS: &str = "up";

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/monitoring");
    std::fs::read_to_string(path.join(file)).unwrap()
}

/// Returns the words of a text that have the prefix of a metric.
fn named(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| {
            ["media_", "process_"]
                .iter()
                .any(|start| word.starts_with(start))
        })
        .map(ToOwned::to_owned)
        .collect()
}

/// Returns the possible names of samples, by the families in an exposition.
fn there_are(exposition: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::from([OF_PROMETHEUS.to_owned()]);
    for line in exposition.lines() {
        let Some(family) = line.strip_prefix("# TYPE ") else {
            continue;
        };
        let (name, kind) = family.split_once(' ').unwrap();
        let endings: &[&str] = match kind {
            "counter" => &["_total"],
            // The runbook uses the name of the family.
            "histogram" => &["", "_bucket", "_sum", "_count"],
            "gauge" => &[""],
            other => panic!("{name} is of the kind {other}"),
        };
        names.extend(endings.iter().map(|ending| format!("{name}{ending}")));
    }
    names
}

#[tokio::test]
async fn the_dashboard_and_the_alerts_name_existing_metrics() {
    let cluster = Cluster::start().await;
    let (api, worker) = (cluster.api("api").await, cluster.worker("worker").await);
    let mut there = BTreeSet::new();
    for program in [&api, &worker] {
        there.extend(there_are(
            &program.get("/metrics").await.text().await.unwrap(),
        ));
    }
    let runbook = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/RUNBOOK.md");
    let runbook = std::fs::read_to_string(runbook).unwrap();
    for (place, text) in [
        ("alerts.yaml", read("alerts.yaml")),
        ("dashboard.json", read("dashboard.json")),
        ("RUNBOOK.md", runbook.clone()),
    ] {
        let unknown: Vec<String> = named(&text).difference(&there).cloned().collect();
        assert!(
            unknown.is_empty(),
            "{place} names {unknown:?}; there are {there:#?}"
        );
    }
    let alerts = read("alerts.yaml");
    let alerts = alerts
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "));
    for alert in alerts {
        assert!(
            runbook.contains(&format!("**{alert}**")),
            "the runbook does not tell of {alert}"
        );
    }
}

//! The layers of the workspace, as its manifests have them.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use serde_json::Value;

/// The crates of this workspace that each crate may depend on, outside tests. A crate that is not listed is above all of
/// them, or part of the test kit.
const LAYERS: [(&str, &[&str]); 9] = [
    ("media-migrations", &[]),
    ("media-domain", &[]),
    ("media-tls", &[]),
    ("media-telemetry", &["media-domain", "media-tls"]),
    (
        "media-storage",
        &["media-domain", "media-telemetry", "media-tls"],
    ),
    ("media-formats", &["media-domain", "media-storage"]),
    (
        "media-database",
        &["media-domain", "media-migrations", "media-telemetry"],
    ),
    (
        "media-ingest",
        &["media-database", "media-domain", "media-storage"],
    ),
    (
        "media-services",
        &[
            "media-database",
            "media-domain",
            "media-ingest",
            "media-migrations",
            "media-storage",
            "media-telemetry",
            "media-tls",
        ],
    ),
];

/// Crates that do I/O or run tasks. The domain must not depend on any, not even indirectly.
const IO_CRATES: [&str; 14] = [
    "apalis",
    "aws-sdk-s3",
    "hyper",
    "mio",
    "poem",
    "redis",
    "reqwest",
    "rustix",
    "rustls",
    "sea-orm",
    "socket2",
    "sqlx",
    "tokio",
    "tracing-subscriber",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The dependencies of each package on packages of this workspace, outside tests.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version=1", "--offline"]);
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of_package = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        let own = dependencies
            .filter(|dependency| dependency["kind"].is_null())
            .map(|dependency| text(&dependency["name"]))
            .filter(|name| name == "media" || name.starts_with("media-"));
        (text(&package["name"]), own.collect())
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(of_package)
        .collect()
}

#[test]
fn crates_depend_on_lower_layers_only() {
    let dependencies = dependencies();
    for (name, allowed) in LAYERS {
        let allowed: BTreeSet<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        let used = &dependencies[name];
        assert!(used.is_subset(&allowed), "{name} depends on {used:?}");
    }
    assert!(!dependencies["media-api"].contains("media-worker"));
    assert!(!dependencies["media-worker"].contains("media-api"));
    for (name, used) in &dependencies {
        let is_kit = ["media-testkit", "media-bench", "media-faults", "media-soak"];
        let kit = used.iter().find(|used| is_kit.contains(&used.as_str()));
        assert!(
            kit.is_none() || is_kit.contains(&name.as_str()),
            "{name} depends on the test kit"
        );
    }
    assert!(!dependencies["media-testkit"].contains("media-worker"));
}

#[test]
fn the_domain_does_no_io() {
    let tree = cargo(&[
        "tree",
        "--package=media-domain",
        "--edges=normal",
        "--prefix=none",
        "--format={p}",
        "--offline",
    ]);
    let used: BTreeSet<&str> = tree
        .lines()
        .filter_map(|line| line.split(' ').next())
        .collect();
    assert!(used.contains("serde"), "{used:?}");
    for name in IO_CRATES {
        assert!(!used.contains(name), "media-domain depends on {name}");
    }
}

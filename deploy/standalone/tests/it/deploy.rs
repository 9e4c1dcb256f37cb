//! The Kubernetes manifests and the compose file, checked against the programs.

use std::{path::Path, process::Command};

use media_testkit::{programs, tempdir};
use media_worker::egress::reserved_networks;
use serde_json::json;

/// Returns the networks that the egress gate refuses, as CIDRs.
fn refused_networks() -> Vec<String> {
    let v4 = reserved_networks::V4
        .iter()
        .map(|(first, prefix, _)| format!("{first}/{prefix}"));
    let v6 = reserved_networks::V6
        .iter()
        .map(|(first, prefix, _)| format!("{first}/{prefix}"));
    // The gate refuses 6to4 outside of its tables.
    v4.chain(v6).chain(["2002::/16".to_owned()]).collect()
}

#[test]
fn manifests_and_compose_fit_the_programs() {
    let facts = json!({
        "programs": programs::path("media").parent().unwrap(),
        "stop": {
            "media-api": media_api::STOP_LIMIT.as_secs_f64(),
            "media-worker": media_worker::STOP_LIMIT.as_secs_f64(),
        },
        "special": refused_networks(),
    });
    let directory = tempdir::create();
    let file = directory.path().join("facts.json");
    std::fs::write(&file, facts.to_string()).unwrap();
    // `make install` installs this Python and the packages that the script needs.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let output = Command::new(root.join("target/clients/python/bin/python"))
        .arg(root.join("testkit/tests/deploy/check.py"))
        .arg(&file)
        .output()
        .unwrap();
    let [stdout, stderr] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(
        output.status.success(),
        "{}\n{stdout}\n{stderr}",
        output.status
    );
}

//! Unmodified third-party clients and checkers against the running service. Everything runs in a network
//! namespace with loopback only, so that the random URLs of a checker reach no other host.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use media_testkit::{databases::fill_with_medias, service::Installation};

use crate::fixture::MEDIA;

/// The number of examples per operation, unless `SCHEMATHESIS_EXAMPLES` is set.
const EXAMPLES: &str = "8";

fn scripts() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients")
}

/// Returns the directory where `make install` installs the clients.
fn installed() -> PathBuf {
    let clients = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/clients");
    assert!(
        clients.join("ready").exists(),
        "the clients are missing; `make install` installs them"
    );
    clients.canonicalize().unwrap()
}

/// Runs a script beside a service and an origin, without a network. `$BASE` is the URL of the service,
/// `$ORIGIN` the URL of the origin, and `$CLIENTS` the directory of the clients.
fn run_isolated(installation: &Installation, script: &str) -> Output {
    let frame = format!(
        r#"
set -eu
ip link set lo up
mkdir -p origin && printf 'bytes to import' > origin/file
"$PYTHON" -m http.server --bind 127.0.0.1 --directory origin 8000 >/dev/null 2>&1 & origin=$!
"$MEDIA" serve --listen 127.0.0.1:8080 >/dev/null 2>&1 & service=$!
trap 'kill $origin $service' EXIT
export BASE=http://127.0.0.1:8080 ORIGIN=http://127.0.0.1:8000
for _ in $(seq 200); do
    curl -sf -o /dev/null "$BASE/readyz" && break
    sleep 0.05
done
{script}
"#
    );
    let clients = installed();
    Command::new("unshare")
        .args(["--map-root-user", "--net", "sh", "-c", &frame])
        .current_dir(installation.directory())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap())
        .env("MEDIA", MEDIA)
        .env("MEDIA_EGRESS_ALLOW", "127.0.0.1/32")
        .env("RUST_LOG", "error")
        .env("PYTHON", clients.join("python/bin/python"))
        .env("CLIENTS", &clients)
        .env("SCRIPTS", scripts())
        .output()
        .unwrap()
}

fn check(output: &Output) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{}\n{}\n{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
}

#[tokio::test]
async fn kitsu_creates_follows_lists_and_includes() {
    let installation = Installation::new(MEDIA);
    // Node searches packages beside the script.
    let script =
        r#"cp "$SCRIPTS/kitsu.mjs" "$CLIENTS/" && node "$CLIENTS/kitsu.mjs" "$BASE" "$ORIGIN""#;
    check(&run_isolated(&installation, script));
}

#[tokio::test]
async fn jsonapi_client_pages_through_2500_medias() {
    const MEDIAS: usize = 2500;
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    fill_with_medias(&installation.database(), MEDIAS).await;
    assert!(service.stop().await.success());
    let script = r#""$PYTHON" "$SCRIPTS/jsonapi_client_test.py" "$BASE" "$ORIGIN" 2500 many"#;
    check(&run_isolated(&installation, script));
}

/// Runs all checks except that every request allowed by the document is accepted. A schema cannot express
/// that a text is a URL, that two parameters exclude each other, that a key must be unique, or that a
/// checksum matches the bytes.
#[tokio::test]
async fn the_service_conforms_to_its_openapi_document() {
    let installation = Installation::new(MEDIA);
    let asked = std::env::var("SCHEMATHESIS_EXAMPLES").ok();
    let examples = asked.as_deref().unwrap_or(EXAMPLES);
    let script = format!(
        r#"
curl -s -o openapi.json "$BASE/openapi.json"
"$CLIENTS/python/bin/openapi-spec-validator" openapi.json
"$CLIENTS/python/bin/schemathesis" --no-color run --checks all \
    --exclude-checks positive_data_acceptance --max-examples {examples} --workers 1 --seed 1 \
    --request-timeout 2 --continue-on-failure --generation-database none "$BASE/openapi.json"
"#
    );
    let output = run_isolated(&installation, &script);
    if asked.is_some() {
        eprintln!("{}", String::from_utf8_lossy(&output.stdout));
    }
    check(&output);
}

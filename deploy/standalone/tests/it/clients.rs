//! Unmodified third-party clients and checkers against the running service. Everything runs in a network
//! namespace with loopback only, so that the random URLs of a checker reach no other host.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use media_testkit::{
    databases::fill_with_medias,
    service::Installation,
    tokens::{SECRET, SIGNING_KEY},
};

use crate::fixture::MEDIA;

mod transfers;

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
    run_isolated_with(installation, &[], script)
}

/// Runs a script as [`run_isolated`] does, with further environment variables for the service and the script.
fn run_isolated_with(
    installation: &Installation,
    variables: &[(&str, &str)],
    script: &str,
) -> Output {
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
        .env("MEDIA_URL_SIGNING_KEY", SIGNING_KEY)
        .env("RUST_LOG", "error")
        .env("PYTHON", clients.join("python/bin/python"))
        .env("CLIENTS", &clients)
        .env("SCRIPTS", scripts())
        .envs(variables.iter().copied())
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

/// Creates, follows, uploads, lists, downloads and links with a client that is generated from the document.
#[tokio::test]
async fn a_generated_python_client_works() {
    let installation = Installation::new(MEDIA);
    let script = r#"
curl -s -o openapi.json "$BASE/openapi.json"
export HOME="$PWD" PATH="$CLIENTS/python/bin:$PATH"
"$PYTHON" -m openapi_python_client generate --path openapi.json --output-path made/generated --meta none
"$PYTHON" "$SCRIPTS/generated_client_test.py" made "$BASE" "$ORIGIN"
"#;
    check(&run_isolated(&installation, script));
}

#[tokio::test]
async fn generated_typescript_types_compile() {
    let installation = Installation::new(MEDIA);
    let script = r#"
curl -s -o openapi.json "$BASE/openapi.json"
"$CLIENTS/node_modules/.bin/openapi-typescript" openapi.json -o api.ts
"$CLIENTS/node_modules/.bin/tsc" --noEmit --strict api.ts
"#;
    check(&run_isolated(&installation, script));
}

/// Checks the document with and without authentication, against all rules that are errors by default.
#[tokio::test]
async fn linters_find_no_errors_in_the_openapi_document() {
    let script = r#"
export HOME="$PWD" REDOCLY_TELEMETRY=off REDOCLY_SUPPRESS_UPDATE_NOTICE=true
curl -s -o openapi.json "$BASE/openapi.json"
echo 'extends: ["spectral:oas"]' > ruleset.yaml
"$CLIENTS/node_modules/.bin/spectral" lint --ruleset ruleset.yaml --fail-severity error openapi.json
"$CLIENTS/node_modules/.bin/redocly" lint openapi.json
"#;
    for variables in [&[][..], &[("MEDIA_JWT_SECRET", SECRET)]] {
        let installation = Installation::new(MEDIA);
        check(&run_isolated_with(&installation, variables, script));
    }
}

/// Opens media in a tab of Chromium. Pictures are shown and sound and film play; no script runs, not even in files that
/// another server shows with the same policy. Without the policy their scripts run, so the test would notice.
#[tokio::test]
async fn chromium_plays_inline_media_and_runs_no_script() {
    let installation = Installation::new(MEDIA);
    let repository = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let script = format!(
        r#"
export HOME="$PWD"
cd {}
"$PYTHON" -B "$SCRIPTS/chromium.py" "$BASE" deploy/standalone/samples/* deploy/standalone/tests/files/* \
    deploy/standalone/tests/hostile/* shared/formats/tests/samples/*.m[op4]* shared/formats/tests/samples/*.[aofw]* \
    shared/formats/tests/samples/*.webm
"#,
        repository.canonicalize().unwrap().display()
    );
    let output = run_isolated(&installation, &script);
    check(&output);
    let text = String::from_utf8_lossy(&output.stdout);
    let seen = |name: &str| -> serde_json::Value {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("{name}\t")));
        let line = line.unwrap_or_else(|| panic!("{name} is not in {text}"));
        serde_json::from_str(line.split_once('\t').unwrap().1).unwrap()
    };
    for name in [
        "film.mp4",
        "moov-first.mp4",
        "moov-last.mp4",
        "fragmented.mp4",
        "video.webm",
        "streamed.webm",
        "tone.mp3",
        "sound.mp3",
        "sound.m4a",
        "sound.ogg",
        "sound.opus",
        "sound.flac",
        "sound.wav",
        "sound.aac",
    ] {
        assert_eq!(seen(name)["played"], true, "{name}: {}", seen(name));
    }
    for name in ["blink.gif", "cloud.webp", "sunrise.jpg", "swirl.png"] {
        assert!(
            seen(name)["width"].as_u64() > Some(1),
            "{name}: {}",
            seen(name)
        );
    }
    for name in [
        "circle.svg",
        "bundle.zip",
        "page.pdf",
        "page.html",
        "picture.svg",
        "document.pdf",
        "polyglot.png",
        "framed.xhtml",
    ] {
        assert!(
            seen(name)["not shown"].is_string(),
            "{name}: {}",
            seen(name)
        );
    }
    for name in ["page.html", "picture.svg", "framed.xhtml"] {
        let (with, without) = (
            seen(&format!("policy:{name}")),
            seen(&format!("none:{name}")),
        );
        assert_eq!(with["ran"], false, "{name}: {with}");
        assert_eq!(without["ran"], true, "{name}: {without}");
    }
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

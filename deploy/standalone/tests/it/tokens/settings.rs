//! The settings of authentication: where the service may listen, what it logs, and what it documents.

use media_testkit::{
    origin::FaultyOrigin,
    service::Installation,
    tokens::{SECRET, claims, claims_with, secret_token},
};
use serde_json::{Value, json};

use super::{assert_accepted, assert_refused};
use crate::fixture::{MEDIA, with_authentication};

#[tokio::test]
async fn only_with_authentication_the_service_listens_to_the_network() {
    let installation = with_authentication();
    let service = installation.serve_at("0.0.0.0:0").await;
    assert_accepted(&service, &secret_token(SECRET, &claims("ann"))).await;
    assert!(service.stop().await.success());

    for (name, value, said) in [
        (
            "MEDIA_JWT_SECRET",
            "",
            "MEDIA_LISTEN must be a loopback address",
        ),
        (
            "MEDIA_JWT_SECRET",
            "s3cr3t",
            "MEDIA_JWT_SECRET must have 32 bytes",
        ),
        (
            "MEDIA_JWKS_URL",
            "http://login.test/",
            "MEDIA_JWKS_URL must start with https://",
        ),
        (
            "MEDIA_URL_SIGNING_KEY",
            "s3cr3t",
            "MEDIA_URL_SIGNING_KEY must have 32 bytes",
        ),
    ] {
        let installation = Installation::new(MEDIA).with(name, value);
        let mut command = installation.command(&["serve", "--listen", "0.0.0.0:0"]);
        let output = command.output().await.unwrap();
        assert!(!output.status.success(), "{name}={value}");
        let lines = String::from_utf8(output.stderr).unwrap();
        assert!(lines.contains(said), "{name}={value}: {lines}");
        assert!(!lines.contains("s3cr3t"), "{lines}");
    }
}

#[tokio::test]
async fn secrets_and_tokens_are_not_logged() {
    let keys = "the first key that signs links now,another key that signed links before";
    let installation = with_authentication()
        .with("MEDIA_URL_SIGNING_KEY", keys)
        .with("RUST_LOG", "debug")
        .logging();
    let service = installation.serve().await;
    let good = secret_token(SECRET, &claims_with("ann", json!({ "sub": "s3cr3t" })));
    let bad = secret_token("another", &claims("ann"));
    assert_accepted(&service, &good).await;
    assert_refused(&service, &bad, "signature", "another secret").await;
    assert!(service.stop().await.success());
    let log = installation.log();
    assert!(log.contains("MEDIA_JWT_SECRET"), "{log}");
    let help = installation.command(&["--help"]).output().await.unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    assert!(help.contains("MEDIA_JWT_SECRET"), "{help}");
    for secret in [SECRET, &good, &bad, "the first key", "another key that"] {
        assert!(!log.contains(secret), "{secret} in {log}");
        assert!(!help.contains(secret), "{secret} in {help}");
    }
}

#[tokio::test]
async fn a_service_without_authentication_logs_a_warning() {
    let installation = Installation::new(MEDIA).logging();
    let service = installation.serve().await;
    // Tokens are ignored.
    assert_accepted(&service, "garbage").await;
    assert!(service.stop().await.success());
    let log = installation.log();
    assert!(log.contains("there is no authentication"), "{log}");
}

#[tokio::test]
async fn the_document_describes_authentication() {
    let installation = with_authentication();
    let service = installation.serve().await;
    let document: Value = service.get("/openapi.json").await.json().await.unwrap();
    let scheme = &document["components"]["securitySchemes"]["token"];
    assert_eq!(scheme["scheme"], "bearer");
    for (path, method, expected) in [
        ("/livez", "get", json!([])),
        (
            "/medias/files/{resource}",
            "get",
            json!([{}, { "token": [] }]),
        ),
        (
            "/medias/files/{resource}",
            "delete",
            json!([{ "token": [] }]),
        ),
        ("/jobs", "get", json!([{ "token": [] }])),
    ] {
        let security = &document["paths"][path][method]["security"];
        assert_eq!(*security, expected, "{method} {path}");
    }
    let page = service.get("/docs").await.text().await.unwrap();
    assert!(page.contains("securitySchemes"));
    let installation = Installation::new(MEDIA);
    let open = installation.serve().await;
    let document: Value = open.get("/openapi.json").await.json().await.unwrap();
    assert_eq!(document["components"]["securitySchemes"], Value::Null);
}

#[tokio::test]
async fn the_command_sends_its_token_to_the_service() {
    let origin = FaultyOrigin::start().await;
    let url = origin.url("echo");
    let installation = with_authentication();
    let service = installation.serve().await;
    let good = secret_token(SECRET, &claims_with("ann", json!({ "role": "admin" })));
    let with_token = async |token: &str| {
        let mut command = installation.command(&["import", &url, "--key", "k"]);
        command.env("MEDIA_TOKEN", token).output().await.unwrap()
    };
    let output = with_token(&good).await;
    assert!(output.status.success(), "{output:?}");
    let output = with_token("garbage").await;
    assert!(!output.status.success(), "{output:?}");
    let output = installation.command(&["import", &url]).output().await;
    let said = String::from_utf8(output.unwrap().stderr).unwrap();
    assert!(said.contains("this needs a token"), "{said}");
    assert!(service.stop().await.success());

    // A service that `media import` starts for itself checks tokens as well.
    let output = with_token("garbage").await;
    assert!(!output.status.success(), "{output:?}");
    let output = with_token(&good).await;
    assert!(output.status.success(), "{output:?}");

    let output = installation.command(&["demo"]).output().await.unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("needs no authentication"), "{said}");
}

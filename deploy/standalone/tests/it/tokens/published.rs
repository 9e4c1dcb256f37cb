//! Tokens signed with published keys: key types, rotation, and failures of the key server.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use media_testkit::{
    service::{Installation, Service},
    tokens::{
        Answer, KeyServer, RSA_PUBLIC_PEM, TokenKey, claims, hs256_token, merged, secret_token,
        token,
    },
    wait_until,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use super::{ask, assert_accepted, assert_refused};
use crate::fixture::MEDIA;

/// Longer than a fetch of the keys and the pause between two fetches.
const LIMIT: Duration = Duration::from_mins(1);

fn trusting(server: &KeyServer) -> Installation {
    Installation::new(MEDIA).with("MEDIA_JWKS_URL", &server.url())
}

async fn until_accepted(service: &Service, token: &str) {
    wait_until("the token is accepted", LIMIT, async || {
        (ask(service, token).await.status() == StatusCode::OK).then_some(())
    })
    .await;
}

#[tokio::test]
async fn keys_are_used_with_the_algorithms_that_are_allowed() {
    let (rsa, ec, ed) = (
        TokenKey::rsa("rsa"),
        TokenKey::es256("ec"),
        TokenKey::ed25519("ed"),
    );
    let es384 = TokenKey::es384("es384");
    let server = KeyServer::with_keys(&[&rsa, &ec, &ed, &es384]).await;
    let installation = trusting(&server);
    let service = installation.serve().await;
    let ann = claims("ann");
    for key in [&rsa, &ec, &ed] {
        assert_accepted(&service, &key.token(&ann)).await;
    }
    let ps256 = rsa.token_with(&json!({ "alg": "PS256", "kid": "rsa" }), &ann);
    assert_refused(&service, &ps256, "algorithm", "PS256").await;
    assert_refused(&service, &es384.token(&ann), "unknown key", "ES384").await;

    let installation = trusting(&server).with("MEDIA_JWT_ALGORITHMS", "PS256,ES384");
    let service = installation.serve().await;
    assert_accepted(&service, &ps256).await;
    assert_accepted(&service, &es384.token(&ann)).await;
    assert_refused(&service, &rsa.token(&ann), "algorithm", "RS256").await;
    assert_refused(&service, &ec.token(&ann), "unknown key", "ES256").await;
}

#[tokio::test]
async fn a_key_verifies_only_what_it_is_intended_for() {
    let (rsa, ec) = (TokenKey::rsa("rsa"), TokenKey::es256("ec"));
    let public = rsa.jwk();
    let jwk = |id: &str, more| merged(merged(public.clone(), json!({ "kid": id })), more);
    let server = KeyServer::start(Answer::Keys(vec![
        rsa.jwk(),
        ec.jwk(),
        jwk("encrypts", json!({ "use": "enc" })),
        jwk("wraps", json!({ "key_ops": ["wrapKey"] })),
        jwk("rs512", json!({ "alg": "RS512" })),
        jwk("rs256", json!({ "alg": "RS256", "key_ops": ["verify"] })),
        json!({ "kid": "secret", "kty": "oct", "k": "c2VjcmV0", "alg": "HS256" }),
        json!({ "kid": "broken", "kty": "RSA" }),
        json!("nonsense"),
    ]))
    .await;
    let installation = trusting(&server);
    let service = installation.serve().await;
    let ann = claims("ann");
    let signed = |header: Value| rsa.token_with(&header, &ann);
    assert_accepted(&service, &signed(json!({ "alg": "RS256", "kid": "rs256" }))).await;

    let hs256 =
        |key: &[u8], id: &str| hs256_token(key, &json!({ "alg": "HS256", "kid": id }), &ann);
    let modulus = public["n"].as_str().unwrap();
    let mallory = TokenKey::es256("ec");
    let embedded = json!({ "alg": "ES256", "kid": "ec", "jwk": mallory.jwk(),
                           "jku": server.url() });
    for (forged, why, what) in [
        (
            hs256(RSA_PUBLIC_PEM.as_bytes(), "rsa"),
            "algorithm",
            "the PEM as a secret",
        ),
        (
            hs256(RSA_PUBLIC_PEM.trim().as_bytes(), "rsa"),
            "algorithm",
            "without line feed",
        ),
        (
            hs256(modulus.as_bytes(), "rsa"),
            "algorithm",
            "the modulus as a secret",
        ),
        (
            hs256(public.to_string().as_bytes(), "rsa"),
            "algorithm",
            "the key as a secret",
        ),
        (
            hs256(b"secret", "secret"),
            "unknown key",
            "a published secret",
        ),
        (secret_token("secret", &ann), "kid", "HS256 without a name"),
        (signed(json!({ "alg": "RS256" })), "kid", "no name"),
        (
            signed(json!({ "alg": "RS256", "kid": null })),
            "kid",
            "null for a name",
        ),
        (
            signed(json!({ "alg": "RS256", "kid": "" })),
            "unknown key",
            "an empty name",
        ),
        (
            signed(json!({ "alg": "RS256", "kid": "RSA" })),
            "unknown key",
            "upper case",
        ),
        (
            signed(json!({ "alg": "RS256", "kid": "ec" })),
            "algorithm",
            "another's name",
        ),
        (
            signed(json!({ "alg": "ES256", "kid": "rsa" })),
            "algorithm",
            "another type",
        ),
        (
            signed(json!({ "alg": "ES256", "kid": "ec" })),
            "signature",
            "another's signature",
        ),
        (
            signed(json!({ "alg": "RS256", "kid": "encrypts" })),
            "unknown key",
            "use",
        ),
        (
            signed(json!({ "alg": "RS256", "kid": "wraps" })),
            "unknown key",
            "key_ops",
        ),
        (
            signed(json!({ "alg": "RS256", "kid": "rs512" })),
            "unknown key",
            "alg",
        ),
        (
            signed(json!({ "alg": "RS256", "kid": "broken" })),
            "unknown key",
            "broken",
        ),
        (mallory.token(&ann), "signature", "another key of that name"),
        (
            mallory.token_with(&embedded, &ann),
            "signature",
            "a key in the token",
        ),
        (
            token(&json!({ "alg": "none", "kid": "rsa" }), &ann, |_| {
                Vec::new()
            }),
            "algorithm",
            "none",
        ),
    ] {
        assert_refused(&service, &forged, why, what).await;
    }
}

#[tokio::test]
async fn keys_change_without_a_restart() {
    let ann = claims("ann");
    let (first, second, third) = (
        TokenKey::es256("first"),
        TokenKey::ed25519("second"),
        TokenKey::es256("third"),
    );
    let server = KeyServer::with_keys(&[&first]).await;
    let installation = trusting(&server);
    let service = installation.serve().await;
    assert_accepted(&service, &first.token(&ann)).await;
    assert_eq!(server.requests(), 1);

    server.publish(&[&first, &second]);
    assert_accepted(&service, &second.token(&ann)).await;
    assert_accepted(&service, &first.token(&ann)).await;
    assert_eq!(server.requests(), 2);

    // The next unknown key is fetched after the pause between two fetches.
    server.publish(&[&third]);
    until_accepted(&service, &third.token(&ann)).await;
    assert_refused(&service, &first.token(&ann), "unknown key", "withdrawn").await;
}

#[tokio::test]
async fn a_flood_of_unknown_keys_causes_one_fetch() {
    let server = KeyServer::with_keys(&[&TokenKey::es256("known")]).await;
    let installation = trusting(&server);
    let service = installation.serve().await;
    let started = Instant::now();
    let unknown: Vec<String> = (0..50)
        .map(|n| TokenKey::es256(&n.to_string()).token(&claims("eve")))
        .collect();
    let asked = unknown
        .iter()
        .map(|token| assert_refused(&service, token, "unknown key", "unknown"));
    join_all(asked).await;
    for token in &unknown {
        assert_refused(&service, token, "unknown key", "unknown").await;
    }
    // One fetch at start, one for the first unknown key, and one after each pause.
    let most = 2 + started.elapsed().as_secs() / 10;
    assert!(server.requests() as u64 <= most, "{}", server.requests());
}

#[tokio::test]
async fn keys_are_kept_while_their_server_fails() {
    let (known, unknown) = (TokenKey::es256("known"), TokenKey::es256("unknown"));
    let ann = claims("ann");
    for failure in [
        Answer::Body(200, "{\"keys\":".to_owned()),
        Answer::Body(200, "{}".to_owned()),
        Answer::Body(500, "{\"keys\":[]}".to_owned()),
        Answer::Keys(vec![json!({}); 101]),
        Answer::Endless,
        Answer::Silence,
    ] {
        let server = KeyServer::with_keys(&[&known]).await;
        let installation = trusting(&server);
        let service = installation.serve().await;
        server.answer(failure.clone());
        assert_refused(&service, &unknown.token(&ann), "unknown key", "unknown").await;
        assert!(server.requests() >= 2, "{failure:?}");
        assert_accepted(&service, &known.token(&ann)).await;
        assert!(service.stop().await.success(), "{failure:?}");
    }
    let mut server = KeyServer::with_keys(&[&known]).await;
    let installation = trusting(&server);
    let service = installation.serve().await;
    server.stop().await;
    assert_refused(&service, &unknown.token(&ann), "unknown key", "unknown").await;
    assert_accepted(&service, &known.token(&ann)).await;
}

#[tokio::test]
async fn tokens_are_accepted_once_keys_could_be_fetched() {
    let key = TokenKey::es256("key");
    let token = key.token(&claims("ann"));
    let elsewhere = KeyServer::with_keys(&[&key]).await;
    for failure in [
        Answer::Silence,
        Answer::Endless,
        Answer::Body(404, String::new()),
        Answer::Redirect(elsewhere.url()),
    ] {
        let server = KeyServer::start(failure.clone()).await;
        let installation = trusting(&server).with("RUST_LOG", "debug").logging();
        let service = installation.serve().await;
        let answer = ask(&service, &token).await;
        assert_eq!(
            answer.status(),
            StatusCode::SERVICE_UNAVAILABLE,
            "{failure:?}"
        );
        assert_eq!(answer.headers()["retry-after"], "1");
        let document: Value = answer.json().await.unwrap();
        assert_eq!(document["errors"][0]["code"], "unavailable", "{failure:?}");
        // Requests that need no token are served.
        assert_eq!(service.get("/medias/files/a").await.status(), 404);
        assert_eq!(service.get("/jobs").await.status(), 401);

        server.publish(&[&key]);
        until_accepted(&service, &token).await;
        assert!(service.stop().await.success(), "{failure:?}");
        let log = installation.log();
        assert!(log.contains("MEDIA_JWKS_URL"), "{failure:?}: {log}");
        assert!(!log.contains("s3cr3t"), "{failure:?}: {log}");
    }
    assert_eq!(elsewhere.requests(), 0, "a redirect was followed");

    let mut server = KeyServer::with_keys(&[&key]).await;
    server.stop().await;
    let installation = trusting(&server).with("RUST_LOG", "debug").logging();
    let service = installation.serve().await;
    assert_eq!(ask(&service, &token).await.status(), 503);
    server.resume().await;
    until_accepted(&service, &token).await;
    assert!(service.stop().await.success());
    let log = installation.log();
    assert!(log.contains("cannot be fetched: no answer"), "{log}");
    assert!(!log.contains("s3cr3t"), "{log}");
}

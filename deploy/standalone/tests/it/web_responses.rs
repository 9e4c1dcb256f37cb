//! Compression, revalidation and methods of documents and pages.

use media_testkit::service::Installation;
use reqwest::{Method, StatusCode, header};

use crate::fixture::{MEDIA, upload};

#[tokio::test]
async fn documents_and_pages_are_compressed_and_media_are_not() {
    let installation = Installation::new(MEDIA);
    let service = installation.serve().await;
    let text = "{\"a\":\"".to_owned() + &"text ".repeat(2000) + "\"}";
    upload(&service, "text/a.json", "a.json", text.as_bytes()).await;
    for number in 0..5 {
        upload(&service, &format!("text/{number}"), "a.txt", b"text").await;
    }
    let ask = async |path: &str, coding: &str| {
        let request = service.http.get(service.url(path));
        let answer = request
            .header(header::ACCEPT_ENCODING, coding)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), StatusCode::OK, "{path}");
        let value = |name| {
            answer
                .headers()
                .get(name)
                .map(|value| value.to_str().unwrap().to_owned())
        };
        let coding = value(header::CONTENT_ENCODING);
        let vary: Vec<_> = answer
            .headers()
            .get_all(header::VARY)
            .iter()
            .map(|v| v.to_str().unwrap().to_owned())
            .collect();
        let (tag, vary) = (value(header::ETAG), vary.join(", "));
        (coding, tag, vary, answer.bytes().await.unwrap())
    };
    for path in ["/medias", "/docs", "/openapi.json", "/metrics"] {
        let (none, plain_tag, vary, plain) = ask(path, "identity").await;
        assert_eq!(none, None, "{path}");
        assert!(vary.contains("Accept-Encoding"), "{path}: {vary}");
        for coding in ["gzip", "zstd"] {
            let (coded, tag, _, small) = ask(path, coding).await;
            assert_eq!(coded.as_deref(), Some(coding), "{path}");
            assert!(small.len() < plain.len() / 2, "{path} {coding}");
            // Each coding is a representation of its own.
            assert!(tag.is_none() || tag != plain_tag, "{path} {coding}");
        }
    }
    // The bytes of media are those that were stored.
    let (coding, tag, vary, bytes) = ask("/medias/files/text/a.json", "gzip, zstd").await;
    assert_eq!((coding, bytes.as_ref()), (None, text.as_bytes()));
    assert!(
        tag.unwrap().len() == 66 && !vary.contains("Accept-Encoding"),
        "{vary}"
    );

    for path in ["/docs", "/openapi.json"] {
        let (_, tag, _, _) = ask(path, "gzip").await;
        let request = service
            .http
            .get(service.url(path))
            .header(header::ACCEPT_ENCODING, "gzip");
        let again = request
            .header(header::IF_NONE_MATCH, tag.unwrap())
            .send()
            .await
            .unwrap();
        assert_eq!(again.status(), StatusCode::NOT_MODIFIED, "{path}");
        let head = service.http.head(service.url(path)).send().await.unwrap();
        assert_eq!(head.status(), StatusCode::OK, "{path}");
        assert!(
            head.headers()[header::CONTENT_LENGTH]
                .to_str()
                .unwrap()
                .len()
                > 3,
            "{path}"
        );
        for method in [Method::POST, Method::PUT, Method::PATCH, Method::DELETE] {
            let answer = service
                .http
                .request(method, service.url(path))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{path}");
            assert_eq!(answer.headers()[header::ALLOW], "GET, HEAD", "{path}");
        }
    }
}

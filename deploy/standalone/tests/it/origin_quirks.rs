//! Deviations of real origins in names, headers and codings, which are accepted.

use async_compression::tokio::bufread::{
    BrotliEncoder, DeflateEncoder, GzipEncoder, ZlibEncoder, ZstdEncoder,
};
use media_testkit::{
    origin::VerbatimOrigin,
    service::{Installation, Service},
};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _};

use crate::fixture::{MEDIA, file};

/// Imports a URL to a key and returns the attributes of the media.
async fn imported(service: &Service, url: &str, key: &str) -> Value {
    let job = service.import(url, "quirks", Some(key)).await;
    assert_eq!(job["attributes"]["status"], "succeeded", "{key}: {job}");
    service.media(&format!("quirks/{key}")).await
}

async fn refused(service: &Service, url: &str, key: &str) -> Value {
    let job = service.import(url, "quirks", Some(key)).await;
    assert_eq!(job["attributes"]["status"], "failed", "{key}: {job}");
    job["attributes"]["error"].clone()
}

async fn bytes_at(service: &Service, key: &str) -> Vec<u8> {
    let answer = service.get(&format!("/medias/files/quirks/{key}")).await;
    answer.bytes().await.unwrap().to_vec()
}

#[tokio::test]
async fn unusual_file_names_in_headers_are_accepted() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    for (n, (field, expected)) in [
        (
            &b"attachment; filename=Harbour at dusk.txt"[..],
            "Harbour at dusk.txt",
        ),
        (
            "attachment; filename=[4](2)@{x} übersicht.txt".as_bytes(),
            "[4](2)@{x} übersicht.txt",
        ),
        (b"attachment; filename=\"caf\xe9.txt\"", "café.txt"),
        (
            b"attachment; filename*=UTF-8''%ff.txt; filename=\"good.txt\"",
            "good.txt",
        ),
        (
            b"attachment; filename*=UTF-8''%e2%82%ac.txt; filename=\"x.txt\"",
            "€.txt",
        ),
        (b"attachment; filename=\"=?UTF-8?B?w6kudHh0?=\"", "é.txt"),
        (b"attachment;\r\n\tfilename=\"folded.txt\"", "folded.txt"),
        (b"attachment; filename=..\\..\\up.txt", "up.txt"),
        // An empty name: the URL names the file.
        (b"attachment; filename=\"\"", "caf\u{e9}.bin"),
    ]
    .into_iter()
    .enumerate()
    {
        let head = [
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nContent-Disposition: ",
            field,
        ]
        .concat();
        origin.add(&format!("/{n}/caf%E9.bin"), head, b"text");
        let key = n.to_string();
        let url = origin.url(&format!("/{n}/caf%E9.bin"));
        let media = imported(&service, &url, &key).await;
        assert_eq!(media["filename"], expected, "{}", field.escape_ascii());
    }
}

#[tokio::test]
async fn unusual_response_heads_are_accepted() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let many = "X-Many: x\r\n".repeat(3000);
    for (key, head) in [
        (
            "folded",
            "HTTP/1.1 200 OK\r\nX-Folded: a\r\n b\r\n\tc\r\nContent-Length: 4",
        ),
        (
            "blank",
            "HTTP/1.1 200 OK\r\nX-Blank : a\r\nContent-Length : 4",
        ),
        (
            "many",
            &format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 4"),
        ),
        (
            "identity",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 4",
        ),
        ("unsized", "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity"),
        (
            "utf-8",
            "HTTP/1.1 200 OK\r\nContent-Encoding: UTF-8\r\nContent-Length: 4",
        ),
        (
            "none",
            "HTTP/1.1 200 OK\r\nContent-Encoding: none, binary\r\nContent-Length: 4",
        ),
        (
            "s3",
            "HTTP/1.1 200 OK\r\nContent-Encoding: aws-chunked\r\nContent-Length: 4",
        ),
        (
            "all",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/4\r\nContent-Length: 4",
        ),
    ] {
        let url = origin.add(&format!("/{key}"), head, b"text");
        assert_eq!(imported(&service, &url, key).await["size"], 4, "{key}");
    }
    // The origin keeps the connection open after the announced length.
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 4";
    let url = origin.add_open("/open", head, b"text");
    assert_eq!(imported(&service, &url, "open").await["size"], 4);
    for (key, head, error) in [
        (
            "cut",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 5",
            "incomplete_body",
        ),
        (
            "long",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\nContent-Length: 3",
            "invalid_response",
        ),
        (
            "part",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-3/5\r\nContent-Length: 4",
            "origin_refused",
        ),
        (
            "tail",
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 1-4/5\r\nContent-Length: 4",
            "origin_refused",
        ),
        (
            "some",
            "HTTP/1.1 206 Partial Content\r\nContent-Length: 4",
            "origin_refused",
        ),
    ] {
        let url = origin.add(&format!("/{key}"), head, b"text");
        assert_eq!(refused(&service, &url, key).await, error, "{key}");
    }
}

#[tokio::test]
async fn unusual_redirects_are_followed() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let redirect =
        |to: &[u8]| [b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: ", to].concat();
    origin.add_file("/caf%E9.txt", "", b"latin-1");
    let url = origin.add("/latin-1", redirect(b"/caf\xe9.txt"), b"");
    assert_eq!(
        imported(&service, &url, "latin-1").await["filename"],
        "café.txt"
    );

    // A page that redirects to itself until the client sends a cookie.
    let gate = "HTTP/1.1 302 Found\r\nContent-Length: 0\r\nSet-Cookie: visited=yes; Path=/\r\nLocation: /gate";
    let open = "HTTP/1.1 200 OK\r\nContent-Length: 4";
    let url = origin.add_gated("/gate", "visited=yes", open, b"open", gate);
    assert_eq!(imported(&service, &url, "gate").await["size"], 4);
    // Cookies are not shared between imports.
    imported(&service, &url, "gate-again").await;
    let seen = origin.requests("/gate");
    let with: Vec<bool> = seen
        .iter()
        .map(|head| head.contains("visited=yes"))
        .collect();
    assert_eq!(with, [false, true, false, true]);

    // A cookie is not sent to another origin.
    let other = VerbatimOrigin::start().await;
    other.add_file("/end", "", b"ended");
    let to = format!("{}\r\nSet-Cookie: visited=yes; Path=/", other.url("/end"));
    let url = origin.add("/leave", redirect(to.as_bytes()), b"");
    assert_eq!(imported(&service, &url, "left").await["size"], 5);
    assert!(!other.requests("/end")[0].contains("visited"));
}

async fn encoded(mut encoder: impl AsyncRead + Unpin) -> Vec<u8> {
    let mut bytes = Vec::new();
    encoder.read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[tokio::test]
async fn content_codings_are_decoded_unless_the_file_itself_is_compressed() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let text = "a line of text, and another one\n"
        .repeat(5000)
        .into_bytes();
    let gzip = encoded(GzipEncoder::new(&text[..])).await;
    let twice = encoded(GzipEncoder::new(&gzip[..])).await;
    for (key, coding, body) in [
        ("gzip", "gzip", gzip.clone()),
        ("x-gzip", "x-gzip", gzip.clone()),
        ("members", "gzip", [gzip.clone(), gzip.clone()].concat()),
        (
            "zlib",
            "deflate",
            encoded(ZlibEncoder::new(&text[..])).await,
        ),
        (
            "deflate",
            "deflate",
            encoded(DeflateEncoder::new(&text[..])).await,
        ),
        ("br", "br", encoded(BrotliEncoder::new(&text[..])).await),
        ("zstd", "zstd", encoded(ZstdEncoder::new(&text[..])).await),
        ("twice", "gzip, gzip", twice.clone()),
    ] {
        // Headers about the coded bytes do not apply to the decoded file.
        let headers = format!(
            "Content-Type: text/csv\r\nContent-Encoding: {coding}\r\nETag: \"a\"\r\nAccept-Ranges: bytes\r\n"
        );
        let url = origin.add_file(&format!("/{key}.csv"), &headers, &body);
        let media = imported(&service, &url, key).await;
        let expected = if key == "members" {
            text.repeat(2)
        } else {
            text.clone()
        };
        assert_eq!(media["size"], expected.len(), "{key}");
        assert_eq!(media["mime_type"], "text/csv", "{key}");
        assert_eq!(bytes_at(&service, key).await, expected, "{key}");
    }
    for (key, path, headers, body, expected) in [
        (
            "own-name",
            "/a.csv.gz",
            "Content-Encoding: gzip\r\nContent-Type: text/csv\r\n",
            &gzip,
            &gzip,
        ),
        (
            "own-type",
            "/b",
            "Content-Encoding: gzip\r\nContent-Type: application/x-gzip\r\n",
            &gzip,
            &gzip,
        ),
        (
            "own-header",
            "/c",
            "Content-Encoding: x-gzip\r\nContent-Disposition: attachment; filename=d.tgz\r\n",
            &gzip,
            &gzip,
        ),
        (
            "own-once",
            "/e.gz",
            "Content-Encoding: gzip, gzip\r\n",
            &twice,
            &gzip,
        ),
    ] {
        let url = origin.add_file(path, headers, body);
        let media = imported(&service, &url, key).await;
        assert_eq!(media["mime_type"], "application/gzip", "{key}");
        assert_eq!(&bytes_at(&service, key).await, expected, "{key}");
    }
    let url = origin.add_file("/empty", "Content-Encoding: gzip\r\n", b"");
    assert_eq!(imported(&service, &url, "empty").await["size"], 0);
}

#[tokio::test]
async fn broken_codings_and_decompression_bombs_are_refused() {
    let origin = VerbatimOrigin::start().await;
    let installation = Installation::new(MEDIA).with("MEDIA_MAX_BYTES", "64MiB");
    let service = installation.serve().await;
    let text = b"some text that is long enough to be cut somewhere".repeat(50);
    let gzip = encoded(GzipEncoder::new(&text[..])).await;
    let zeros = vec![0; 32 << 20];
    let bomb = encoded(GzipEncoder::new(&zeros[..])).await;
    let br_bomb = encoded(BrotliEncoder::new(&zeros[..])).await;
    let large: Vec<u8> = (0..20_000_000_u32).flat_map(u32::to_le_bytes).collect();
    let large = encoded(ZstdEncoder::new(&large[..])).await;
    let mut damaged = gzip.clone();
    let last = damaged.len() - 6;
    damaged[last] ^= 1;
    let mut cut = gzip.clone();
    cut.truncate(gzip.len() / 2);
    for (key, coding, body, error) in [
        ("bomb", "gzip", &bomb, "too_large"),
        ("br-bomb", "br", &br_bomb, "too_large"),
        ("large", "zstd", &large, "too_large"),
        ("damaged", "gzip", &damaged, "invalid_response"),
        ("plain", "gzip", &text, "invalid_response"),
        ("cut", "gzip", &cut, "incomplete_body"),
        ("unknown", "compress", &gzip, "unsupported_encoding"),
    ] {
        let url = origin.add_file(
            &format!("/{key}"),
            &format!("Content-Encoding: {coding}\r\n"),
            body,
        );
        assert_eq!(refused(&service, &url, key).await, error, "{key}");
    }
    // Fewer bytes than announced.
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}",
        gzip.len() + 1
    );
    let url = origin.add("/short", head, &gzip);
    assert_eq!(refused(&service, &url, "short").await, "incomplete_body");
}

#[tokio::test]
async fn text_keeps_its_charset() {
    let (origin, installation) = (VerbatimOrigin::start().await, Installation::new(MEDIA));
    let service = installation.serve().await;
    let png = file("swirl.png");
    let latin = b"Gr\xfc\xdfe aus Krak\xf3w\n";
    for (key, content_type, body, charset) in [
        (
            "latin",
            "text/plain; charset=ISO-8859-2",
            &latin[..],
            Some("iso-8859-2"),
        ),
        (
            "quoted",
            "text/html;charset=\"windows-1252\"",
            b"<p>x",
            Some("windows-1252"),
        ),
        (
            "utf-8",
            "text/csv; header=present; charset=utf-8",
            b"a,b",
            Some("utf-8"),
        ),
        (
            "json",
            "application/json; charset=utf-8",
            b"{}",
            Some("utf-8"),
        ),
        ("unsaid", "text/plain", "Grüße".as_bytes(), Some("utf-8")),
        ("marked", "text/plain", b"\xff\xfea\0b\0", Some("utf-16le")),
        ("ascii", "text/plain", b"plain", None),
        ("unknown", "text/plain", latin, None),
        ("nonsense", "text/plain; charset=\"a b\"", b"plain", None),
        ("picture", "image/png; charset=utf-8", &png, None),
    ] {
        let url = origin.add_file(
            &format!("/{key}"),
            &format!("Content-Type: {content_type}\r\n"),
            body,
        );
        let media = imported(&service, &url, key).await;
        assert_eq!(media["charset"], json!(charset), "{key}: {media}");
        let mime = media["mime_type"].as_str().unwrap();
        let expected = match charset {
            Some(charset) => format!("{mime}; charset={charset}"),
            None => mime.to_owned(),
        };
        for query in ["", "?disposition=inline"] {
            let answer = service
                .get(&format!("/medias/files/quirks/{key}{query}"))
                .await;
            assert_eq!(answer.headers()["content-type"], expected.as_str(), "{key}");
        }
    }
}

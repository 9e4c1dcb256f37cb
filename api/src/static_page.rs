//! Static pages: compressed once, and shared by all answers.

use std::{
    io::Write as _,
    sync::{Arc, OnceLock},
};

use bytes::Bytes;
use flate2::{Compression, write::GzEncoder};
use poem::{
    Endpoint, Request, Response, Result,
    http::{HeaderMap, StatusCode, header},
};
use ring::digest::{SHA256, digest};

/// A static page.
#[derive(Clone)]
pub(crate) struct StaticPage(Arc<Page>);

struct Page {
    content_type: &'static str,
    text: Bytes,
    /// The page compressed with gzip, at the first request that accepts it.
    compressed: OnceLock<Bytes>,
    /// The hash of the text, the basis of the strong validators of both encodings.
    etag: String,
}

impl StaticPage {
    /// Creates a page.
    pub(crate) fn new(content_type: &'static str, text: String) -> Self {
        let hash = hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
        Self(Arc::new(Page {
            content_type,
            text: text.into(),
            compressed: OnceLock::new(),
            etag: hash,
        }))
    }
}

impl Page {
    fn compressed(&self) -> Bytes {
        let compress = || {
            let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
            // Writing to memory does not fail. If it did, the page would be sent uncompressed.
            let written = encoder
                .write_all(&self.text)
                .and_then(|()| encoder.finish());
            written.map_or_else(|_| Bytes::new(), Bytes::from)
        };
        self.compressed.get_or_init(compress).clone()
    }
}

impl Endpoint for StaticPage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        let page = &self.0;
        let compressed = accepts_gzip(request.headers())
            .then(|| page.compressed())
            .filter(|bytes| !bytes.is_empty());
        let etag = match &compressed {
            Some(_) => format!("\"{}-gzip\"", page.etag),
            None => format!("\"{}\"", page.etag),
        };
        let known = request.header(header::IF_NONE_MATCH);
        let mut response = Response::builder()
            .header(header::ETAG, &etag)
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::VARY, "Accept-Encoding");
        if known.is_some_and(|known| known.split(',').any(|each| each.trim() == etag)) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        if compressed.is_some() {
            response = response.header(header::CONTENT_ENCODING, "gzip");
        }
        let body = compressed.unwrap_or_else(|| page.text.clone());
        Ok(response.content_type(page.content_type).body(body))
    }
}

/// Whether a client accepts gzip (RFC 9110 §12.5.3).
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = lines.flat_map(|line| line.to_str().unwrap_or_default().split(','));
    codings.any(|coding| {
        let (name, quality) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = quality
            .trim()
            .strip_prefix("q=")
            .and_then(|q| q.parse().ok())
            == Some(0.0);
        name.trim().eq_ignore_ascii_case("gzip") && !refused
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_is_shared_compressed_and_revalidated() {
        let page = StaticPage::new("text/plain", "text ".repeat(1000));
        let ask = async |coding: &str, etag: &str| {
            let request = Request::builder()
                .header(header::ACCEPT_ENCODING, coding)
                .header(header::IF_NONE_MATCH, etag);
            page.call(request.finish()).await.unwrap()
        };
        let plain = ask("gzip;q=0, br", "").await;
        assert!(plain.header(header::CONTENT_ENCODING).is_none());
        assert_eq!(
            plain.into_body().into_bytes().await.unwrap().as_ptr(),
            page.0.text.as_ptr()
        );
        let small = ask("br, GZIP;q=0.5", "").await;
        assert_eq!(small.header(header::CONTENT_ENCODING), Some("gzip"));
        let etag = small.header(header::ETAG).unwrap().to_owned();
        assert!(small.into_body().into_bytes().await.unwrap().len() < 500);
        assert_eq!(ask("gzip", &etag).await.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ask("br", &etag).await.status(), StatusCode::OK);
    }
}

//! Static pages: compressed once for each coding, shared by all answers, and revalidated by `ETag`.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use parse_net::etag::{self, EntityTag};
use poem::{
    Endpoint, Request, Response, Result, RouteMethod, get,
    http::{StatusCode, header},
};
use ring::digest::{SHA256, digest};

use crate::{content_coding::ContentCoding, media::headers::field};

/// A static page.
#[derive(Clone)]
pub(crate) struct StaticPage(Arc<Page>);

struct Page {
    content_type: &'static str,
    text: Bytes,
    /// The page in each coding, since the first request that accepts it.
    compressed: [OnceLock<Bytes>; ContentCoding::ALL.len()],
    /// The hash of the text, the basis of the strong validators of all codings.
    hash: String,
}

impl StaticPage {
    /// Creates a page.
    pub(crate) fn new(content_type: &'static str, text: String) -> Self {
        let hash = hex::encode(&digest(&SHA256, text.as_bytes()).as_ref()[..16]);
        Self(Arc::new(Page {
            content_type,
            text: text.into(),
            compressed: Default::default(),
            hash,
        }))
    }

    /// The route of the page, which has no methods but GET and HEAD.
    pub(crate) fn route(self) -> RouteMethod {
        get(self.clone()).head(self)
    }
}

impl Page {
    /// The page in a coding. None if it cannot be compressed.
    fn compressed(&self, coding: ContentCoding) -> Option<Bytes> {
        let index = ContentCoding::ALL.iter().position(|each| *each == coding)?;
        // Compression in memory does not fail. If it did, the page would be sent as it is.
        let compress = || coding.compress(&self.text).unwrap_or_default();
        let bytes = self.compressed[index].get_or_init(compress);
        (!bytes.is_empty()).then(|| bytes.clone())
    }
}

impl Endpoint for StaticPage {
    type Output = Response;

    async fn call(&self, request: Request) -> Result<Self::Output> {
        let page = &self.0;
        let coded = ContentCoding::accepted_by(request.headers())
            .and_then(|coding| Some((coding, page.compressed(coding)?)));
        let opaque = match &coded {
            Some((coding, _)) => format!("{}-{}", page.hash, coding.name()),
            None => page.hash.clone(),
        };
        let mut response = Response::builder()
            .header(header::ETAG, format!("\"{opaque}\""))
            .header(header::CACHE_CONTROL, "no-cache")
            .header(header::VARY, "Accept-Encoding");
        let known = field(request.headers(), &header::IF_NONE_MATCH);
        // Hexadecimal digits and the name of a coding are always a valid tag.
        let is_known = |known: Vec<u8>| {
            let tag = EntityTag::strong(opaque.as_bytes()).ok()?;
            etag::if_none_match(&known, &tag).ok()
        };
        if known.and_then(is_known) == Some(true) {
            return Ok(response.status(StatusCode::NOT_MODIFIED).finish());
        }
        if let Some((coding, _)) = &coded {
            response = response.header(header::CONTENT_ENCODING, coding.header());
        }
        let body = coded.map_or_else(|| page.text.clone(), |(_, bytes)| bytes);
        Ok(response.content_type(page.content_type).body(body))
    }
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
        let weak = format!("\"x\", W/{etag}");
        assert_eq!(ask("gzip", &weak).await.status(), StatusCode::NOT_MODIFIED);
        assert_eq!(ask("gzip", "*").await.status(), StatusCode::NOT_MODIFIED);
        let smaller = ask("gzip, zstd", &etag).await;
        assert_eq!(smaller.header(header::CONTENT_ENCODING), Some("zstd"));
        assert_eq!(ask("br", &etag).await.status(), StatusCode::OK);
    }
}

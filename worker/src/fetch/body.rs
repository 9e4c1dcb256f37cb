//! The body of an answer, decoded.

use bytes::Bytes;
use url::Url;

use super::{coding::Coding, decoder::Decoder, error::FetchFailure, raw_body::RawBody};

/// The bytes of a file from an origin. Dropping it closes the connection.
pub(super) struct Body {
    url: Url,
    source: Source,
}

#[allow(
    clippy::large_enum_variant,
    reason = "the large one is by far the most common"
)]
enum Source {
    Raw(RawBody),
    Coded(Box<Decoder>),
}

impl Body {
    /// Creates a body whose codings are removed in this order.
    pub(super) fn new(url: &Url, body: RawBody, codings: Vec<Coding>) -> Self {
        Self {
            url: url.clone(),
            source: if codings.is_empty() {
                Source::Raw(body)
            } else {
                Source::Coded(Box::new(Decoder::new(body, codings)))
            },
        }
    }

    /// Returns the next bytes. A body that ends early, stalls or breaks is an error, never an end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, FetchFailure> {
        let next = match &mut self.source {
            Source::Raw(body) => body.next().await,
            Source::Coded(decoder) => decoder.next().await,
        };
        next.map_err(|error| FetchFailure::new(&self.url, error))
    }
}

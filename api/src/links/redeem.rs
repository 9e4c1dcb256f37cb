//! Reads the signed link in the query of a download.

use chrono::{DateTime, TimeDelta, Utc};
use media_domain::ids::MediaId;

use super::signed_link::{LinkError, LinkQuery, LinkSigner};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    resource::query_string::QueryString,
};

/// Verifies signed links.
pub(crate) struct LinkReader {
    /// None if the operator has set no key.
    pub(crate) signer: Option<LinkSigner>,
}

/// A valid link.
pub(crate) struct RedeemedLink {
    /// The media that it is for.
    pub(crate) media: MediaId,
    /// How long it stays valid.
    pub(crate) left: TimeDelta,
}

impl LinkReader {
    /// Takes a link out of a query, and verifies it. `disposition` stays there.
    pub(crate) fn take(&self, query: &mut QueryString) -> Result<Option<RedeemedLink>, ApiError> {
        let Some(signature) = query.take("signature")? else {
            return Ok(None);
        };
        let (media, expires) = (query.take("media")?, query.take("expires")?);
        let disposition = query.peek("disposition");
        let (Some(media), Some(expires), Some(signer)) = (media, expires, &self.signer) else {
            return Err(refused(LinkError::Invalid));
        };
        let link = LinkQuery {
            media: &media,
            expires: &expires,
            disposition,
            signature: &signature,
        };
        let now = Utc::now();
        let media = signer.verify(&link, now).map_err(refused)?;
        // A valid link has a valid time.
        let ends = expires
            .parse()
            .ok()
            .and_then(|at| DateTime::from_timestamp(at, 0));
        Ok(Some(RedeemedLink {
            media,
            left: ends.unwrap_or(now) - now,
        }))
    }
}

fn refused(error: LinkError) -> ApiError {
    let code = match error {
        LinkError::Expired => ErrorCode::LinkExpired,
        LinkError::Invalid => ErrorCode::InvalidLink,
    };
    ApiError::new(code, format!("{error}; ask for another one"))
}

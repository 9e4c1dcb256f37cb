//! Redeems the signed link in the query of a download or an upload.

use chrono::{DateTime, TimeDelta, Utc};
use media_domain::ids::MediaId;

use super::{
    signed_link::{LinkError, LinkQuery, LinkSigner},
    upload_permit::{PERMIT, UploadPermit},
};
use crate::{
    jsonapi::{ApiError, ErrorCode},
    resource::query_string::QueryString,
};

/// Verifies signed links.
pub(crate) struct LinkVerifier {
    /// None if no key is configured.
    pub(crate) signer: Option<LinkSigner>,
}

/// A valid link.
pub(crate) struct RedeemedLink {
    /// The media that the link names.
    pub(crate) media: MediaId,
    /// The remaining time of validity.
    pub(crate) valid_for: TimeDelta,
}

impl LinkVerifier {
    /// Takes a link out of a query, and verifies it. `disposition` stays in the query.
    pub(crate) fn take(&self, query: &mut QueryString) -> Result<Option<RedeemedLink>, ApiError> {
        let Some(signature) = query.take("signature")? else {
            return Ok(None);
        };
        let (media, expires) = (query.take("media")?, query.take("expires")?);
        let disposition = query.peek("disposition");
        let (Some(media), Some(expires), Some(signer)) = (media, expires, &self.signer) else {
            return Err(link_error(LinkError::Invalid));
        };
        let link = LinkQuery {
            media: &media,
            expires: &expires,
            disposition,
            signature: &signature,
        };
        let now = Utc::now();
        let media = signer.verify(&link, now).map_err(link_error)?;
        // The time in a valid link can be parsed.
        let expires_at = expires
            .parse()
            .ok()
            .and_then(|seconds| DateTime::from_timestamp(seconds, 0));
        Ok(Some(RedeemedLink {
            media,
            valid_for: expires_at.unwrap_or(now) - now,
        }))
    }

    /// Takes the link of an upload out of a query, and verifies it. Such a link has no other parameters.
    pub(crate) fn take_upload(
        &self,
        query: &mut QueryString,
    ) -> Result<Option<UploadPermit>, ApiError> {
        let Some(permit) = query.take(PERMIT)? else {
            return Ok(None);
        };
        let signature = query.take("signature")?;
        std::mem::take(query).finish()?;
        let (Some(signature), Some(signer)) = (signature, &self.signer) else {
            return Err(link_error(LinkError::Invalid));
        };
        let permit = signer.verify_upload(&permit, &signature, Utc::now());
        permit.map(Some).map_err(link_error)
    }
}

fn link_error(error: LinkError) -> ApiError {
    let code = match error {
        LinkError::Expired => ErrorCode::LinkExpired,
        LinkError::Invalid => ErrorCode::InvalidLink,
    };
    ApiError::new(code, format!("{error}; request another one"))
}

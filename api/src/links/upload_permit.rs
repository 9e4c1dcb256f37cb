//! The permission that an upload link gives, and its signature: HMAC-SHA256 over all of it.
//!
//! The uploaded media belongs to the creator of the link, who must be allowed to write when the link is used as well.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, Utc};
use media_domain::{
    caller::{Creator, Role},
    job::MediaRange,
    media::MediaPath,
};
use serde::{Deserialize, Serialize};
use url::form_urlencoded;

use super::signed_link::{LinkError, LinkSigner, MAX_CLOCK_SKEW, MAX_LIFETIME};
use crate::jsonapi::{ApiError, ErrorCode};

/// The parameter of the query that holds the permission.
pub(crate) const PERMIT: &str = "upload";
/// The first line of every signed text. It differs from that of links to downloads.
const TEXT_PREFIX: &str = "media upload link 1";

/// The permission to upload one media.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct UploadPermit {
    path: MediaPath,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_role: Option<Role>,
    #[serde(skip_serializing_if = "Option::is_none")]
    project_id: Option<String>,
    /// The time of expiry, in seconds since 1970.
    expires: i64,
    /// The most bytes of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) max_bytes: Option<u64>,
    /// The types of files that are accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) accept_types: Option<Vec<MediaRange>>,
}

impl UploadPermit {
    /// Creates the permission to write to a path as a creator.
    pub(crate) fn new(path: MediaPath, creator: Creator, expires: DateTime<Utc>) -> Self {
        Self {
            path,
            created_by: creator.created_by,
            created_role: creator.created_role,
            project_id: creator.project_id,
            expires: expires.timestamp(),
            max_bytes: None,
            accept_types: None,
        }
    }

    /// The creator of the uploaded media.
    pub(crate) fn creator(&self) -> Creator {
        Creator {
            created_by: self.created_by.clone(),
            created_role: self.created_role,
            project_id: self.project_id.clone(),
        }
    }

    /// Makes sure that the link is for this path.
    pub(crate) fn check_path(&self, path: &MediaPath) -> Result<(), ApiError> {
        if *path == self.path {
            return Ok(());
        }
        Err(ApiError::new(
            ErrorCode::InvalidLink,
            "the link is for another resource or key; request another one",
        ))
    }
}

impl LinkSigner {
    /// Signs a permission, and returns it as a query without the `?`.
    pub(crate) fn sign_upload(&self, permit: &UploadPermit) -> serde_json::Result<String> {
        let permit = URL_SAFE_NO_PAD.encode(serde_json::to_vec(permit)?);
        let signature = self.sign_text(&signed_text(&permit));
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair(PERMIT, &permit);
        query.append_pair("signature", &signature);
        Ok(query.finish())
    }

    /// Verifies a permission.
    pub(crate) fn verify_upload(
        &self,
        permit: &str,
        signature: &str,
        now: DateTime<Utc>,
    ) -> Result<UploadPermit, LinkError> {
        if !self.is_signed(&signed_text(permit), signature) {
            return Err(LinkError::Invalid);
        }
        let json = URL_SAFE_NO_PAD.decode(permit).ok();
        let permit: Option<UploadPermit> = json.and_then(|json| serde_json::from_slice(&json).ok());
        let permit = permit.ok_or(LinkError::Invalid)?;
        let expires_at = DateTime::from_timestamp(permit.expires, 0).ok_or(LinkError::Invalid)?;
        if expires_at > now + MAX_LIFETIME + MAX_CLOCK_SKEW {
            Err(LinkError::Invalid)
        } else if expires_at <= now {
            Err(LinkError::Expired)
        } else {
            Ok(permit)
        }
    }
}

/// The text that the signature covers.
fn signed_text(permit: &str) -> String {
    format!("{TEXT_PREFIX}\n{permit}")
}

#[cfg(test)]
mod tests {
    use chrono::TimeDelta;
    use media_services::config::LinkKeys;

    use super::*;

    #[test]
    fn a_permit_is_valid_unchanged_until_it_expires() {
        let signer = LinkSigner::new(&LinkKeys::new("a"));
        let now = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let path = MediaPath::new("r", Some("k")).unwrap();
        let creator = Creator {
            created_by: Some("ann".to_owned()),
            created_role: Some(Role::User),
            project_id: Some("press".to_owned()),
        };
        let permit = UploadPermit {
            max_bytes: Some(10),
            accept_types: Some(vec![MediaRange::new("image/*").unwrap()]),
            ..UploadPermit::new(path, creator, now + TimeDelta::seconds(5))
        };
        let query = signer.sign_upload(&permit).unwrap();
        let parts: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let (claims, signature) = (&*parts[0].1, &*parts[1].1);
        assert_eq!(signer.verify_upload(claims, signature, now), Ok(permit));
        let later = now + TimeDelta::seconds(5);
        let expired = signer.verify_upload(claims, signature, later);
        assert_eq!(expired, Err(LinkError::Expired));
        let other = LinkSigner::new(&LinkKeys::new("b"));
        let refused = other.verify_upload(claims, signature, now);
        assert_eq!(refused, Err(LinkError::Invalid));
        let changed = format!("{claims}A");
        let refused = signer.verify_upload(&changed, signature, now);
        assert_eq!(refused, Err(LinkError::Invalid));
    }
}

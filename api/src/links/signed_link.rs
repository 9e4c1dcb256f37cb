//! The signature of a link: HMAC-SHA256 over the media, the time of expiry and the disposition.
//!
//! A link names a media by its id, so it serves the current bytes of the media: new ones after a replacement, none after
//! a deletion. It does not restrict the method or the range.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use chrono::{DateTime, TimeDelta, Utc};
use media_domain::ids::MediaId;
use media_services::config::LinkKeys;
use ring::hmac;
use url::form_urlencoded;
use uuid::Uuid;

/// The default lifetime of a link.
pub(crate) const DEFAULT_LIFETIME: TimeDelta = TimeDelta::hours(1);
/// The longest lifetime of a link.
pub(crate) const MAX_LIFETIME: TimeDelta = TimeDelta::days(7);
/// The largest difference between the clocks of two machines.
pub(super) const MAX_CLOCK_SKEW: TimeDelta = TimeDelta::minutes(1);
/// The first line of every signed text: its version, which a change of the format has to change.
const TEXT_PREFIX: &str = "media link 1";

/// Signs links, and verifies them.
#[derive(Clone)]
pub(crate) struct LinkSigner(LinkKeys);

/// The query of a signed link, without the `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SignedQuery {
    media: String,
    expires: String,
    disposition: Option<String>,
    signature: String,
}

/// The query of a link, not verified.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LinkQuery<'a> {
    /// `media`: the id of the media.
    pub(crate) media: &'a str,
    /// `expires`: the time of expiry, in seconds since 1970.
    pub(crate) expires: &'a str,
    /// `disposition`, if present.
    pub(crate) disposition: Option<&'a str>,
    /// `signature`: base64url without padding.
    pub(crate) signature: &'a str,
}

/// A link that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LinkError {
    /// The link was valid until it expired.
    #[error("the link has expired")]
    Expired,
    /// The link was not signed with a current key, or has been changed.
    #[error("the link is not one that this service has signed")]
    Invalid,
}

impl LinkSigner {
    /// Creates a signer, which signs with the first key and verifies with both.
    pub(crate) fn new(keys: &LinkKeys) -> Self {
        Self(keys.clone())
    }

    /// Signs a link. [`verify`](Self::verify) rejects links that expire later than [`MAX_LIFETIME`] from now.
    pub(crate) fn sign(
        &self,
        media: MediaId,
        disposition: Option<&str>,
        expires: DateTime<Utc>,
    ) -> SignedQuery {
        let expires = expires.timestamp();
        let text = signed_text(media, expires, disposition);
        SignedQuery {
            media: media.to_string(),
            expires: expires.to_string(),
            disposition: disposition.map(ToOwned::to_owned),
            signature: self.sign_text(&text),
        }
    }

    /// Signs a text, in base64url without padding.
    pub(super) fn sign_text(&self, text: &str) -> String {
        let sign = |signing: &str| hmac::sign(&hmac_key(signing), text.as_bytes());
        URL_SAFE_NO_PAD.encode(self.0.with(|signing, _| sign(signing)))
    }

    /// Whether a signature of a text was made with a current key.
    pub(super) fn is_signed(&self, text: &str, signature: &str) -> bool {
        let Ok(signature) = URL_SAFE_NO_PAD.decode(signature) else {
            return false;
        };
        let is_signed_with =
            |key: &str| hmac::verify(&hmac_key(key), text.as_bytes(), &signature).is_ok();
        self.0.with(|signing, previous| {
            is_signed_with(signing) || previous.is_some_and(is_signed_with)
        })
    }

    /// Verifies a link, and returns the media that it names.
    pub(crate) fn verify(
        &self,
        query: &LinkQuery<'_>,
        now: DateTime<Utc>,
    ) -> Result<MediaId, LinkError> {
        let media = MediaId(Uuid::parse_str(query.media).map_err(|_| LinkError::Invalid)?);
        let expires: i64 = query.expires.parse().map_err(|_| LinkError::Invalid)?;
        // Other spellings of the same values are not accepted.
        if media.to_string() != query.media || expires.to_string() != query.expires {
            return Err(LinkError::Invalid);
        }
        let text = signed_text(media, expires, query.disposition);
        let is_signed = self.is_signed(&text, query.signature);
        let expires_at = DateTime::from_timestamp(expires, 0).ok_or(LinkError::Invalid)?;
        if !is_signed || expires_at > now + MAX_LIFETIME + MAX_CLOCK_SKEW {
            Err(LinkError::Invalid)
        } else if expires_at <= now {
            Err(LinkError::Expired)
        } else {
            Ok(media)
        }
    }
}

fn hmac_key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes())
}

/// The text that the signature covers. Different links have different texts: the id and the number contain no line
/// breaks, so the rest of the text is the disposition.
fn signed_text(media: MediaId, expires: i64, disposition: Option<&str>) -> String {
    let ending = disposition.map_or(String::new(), |disposition| format!("\n{disposition}"));
    format!("{TEXT_PREFIX}\n{media}\n{expires}{ending}")
}

impl fmt::Display for SignedQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("media", &self.media);
        query.append_pair("expires", &self.expires);
        if let Some(disposition) = &self.disposition {
            query.append_pair("disposition", disposition);
        }
        query.append_pair("signature", &self.signature);
        f.write_str(&query.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer(signing: &str, previous: Option<&str>) -> LinkSigner {
        let keys = match previous {
            Some(previous) => format!("{signing},{previous}"),
            None => signing.to_owned(),
        };
        LinkSigner::new(&LinkKeys::new(&keys))
    }

    fn raw(query: &SignedQuery) -> LinkQuery<'_> {
        LinkQuery {
            media: &query.media,
            expires: &query.expires,
            disposition: query.disposition.as_deref(),
            signature: &query.signature,
        }
    }

    fn now() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    const SECOND: TimeDelta = TimeDelta::seconds(1);

    #[test]
    fn a_link_is_valid_until_it_expires() {
        let (signer, media) = (signer("a", None), MediaId::generate());
        let link = signer.sign(media, None, now() + DEFAULT_LIFETIME);
        let at = |time| signer.verify(&raw(&link), time);
        assert_eq!(at(now()), Ok(media));
        assert_eq!(at(now() + DEFAULT_LIFETIME - SECOND), Ok(media));
        assert_eq!(at(now() + DEFAULT_LIFETIME), Err(LinkError::Expired));
        let longest = signer.sign(media, None, now() + MAX_LIFETIME);
        assert_eq!(signer.verify(&raw(&longest), now()), Ok(media));
        let longer = signer.sign(media, None, now() + MAX_LIFETIME + MAX_CLOCK_SKEW + SECOND);
        assert_eq!(signer.verify(&raw(&longer), now()), Err(LinkError::Invalid));
    }

    #[test]
    fn changed_links_are_invalid() {
        let (signer, media) = (signer("a", None), MediaId::generate());
        let link = signer.sign(media, Some("inline"), now() + SECOND);
        let good = raw(&link);
        let other = MediaId::generate().to_string();
        let later = (now() + SECOND + SECOND).timestamp().to_string();
        let (upper, plus) = (good.media.to_uppercase(), format!("+{}", good.expires));
        let spilled = format!("{}\ninline", good.expires);
        let shorter = &good.signature[..good.signature.len() - 1];
        let padded = format!("{}=", good.signature);
        for changed in [
            LinkQuery {
                media: &other,
                ..good
            },
            LinkQuery { media: "", ..good },
            LinkQuery {
                media: &upper,
                ..good
            },
            LinkQuery {
                expires: &plus,
                ..good
            },
            LinkQuery {
                expires: &later,
                ..good
            },
            LinkQuery {
                expires: "99999999999999999999",
                ..good
            },
            LinkQuery {
                expires: "9223372036854775807",
                ..good
            },
            LinkQuery {
                expires: "-1",
                ..good
            },
            LinkQuery {
                expires: &spilled,
                disposition: None,
                ..good
            },
            LinkQuery {
                disposition: None,
                ..good
            },
            LinkQuery {
                disposition: Some(""),
                ..good
            },
            LinkQuery {
                disposition: Some("attachment"),
                ..good
            },
            LinkQuery {
                signature: "",
                ..good
            },
            LinkQuery {
                signature: "!",
                ..good
            },
            LinkQuery {
                signature: shorter,
                ..good
            },
            LinkQuery {
                signature: &padded,
                ..good
            },
        ] {
            let said = signer.verify(&changed, now());
            assert_eq!(said, Err(LinkError::Invalid), "{changed:?}");
        }
        assert_eq!(signer.verify(&good, now()), Ok(media));
    }

    #[test]
    fn links_stay_valid_while_their_key_is_the_previous_one() {
        let (old, both, new) = (signer("a", None), signer("b", Some("a")), signer("b", None));
        let media = MediaId::generate();
        let before = old.sign(media, None, now() + SECOND);
        let after = both.sign(media, None, now() + SECOND);
        for (signer, link, expected) in [
            (&both, &before, Ok(media)),
            (&both, &after, Ok(media)),
            (&new, &after, Ok(media)),
            (&new, &before, Err(LinkError::Invalid)),
            (&old, &after, Err(LinkError::Invalid)),
        ] {
            assert_eq!(signer.verify(&raw(link), now()), expected);
        }
    }

    #[test]
    fn a_link_is_formatted_as_a_query() {
        let media = MediaId(Uuid::nil());
        let link = signer("a", None).sign(media, Some("inline"), now());
        let (start, signature) = link.to_string().rsplit_once('=').map_or_else(
            || panic!("{link}"),
            |(start, end)| (start.to_owned(), end.to_owned()),
        );
        assert_eq!(
            start,
            "media=00000000-0000-0000-0000-000000000000&expires=1800000000&disposition=inline&signature"
        );
        // HMAC-SHA256 of the text as OpenSSL computes it.
        assert_eq!(signature, "6-3ecDKUOGAN389qhN3el6W2vM9STbDE0CaIZSe1S2k");
    }
}

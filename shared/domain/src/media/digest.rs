//! Digests that bytes must have: as hexadecimal digits in arguments, and as the fields `Repr-Digest` and
//! `Content-Digest` (RFC 9530).

use std::fmt;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde::{Deserialize, Serialize};

use super::Sha256;

/// Defines a digest of a number of bytes, shown as lower-case hexadecimal digits.
macro_rules! digest {
    ($(#[$meta:meta])* $name:ident: $bytes:literal, $error:ident: $message:literal) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash)]
        pub struct $name([u8; $bytes]);

        #[doc = concat!("A text that is not a digest of the kind [`", stringify!($name), "`].")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
        #[error($message)]
        pub struct $error;

        impl $name {
            /// Takes the bytes of a digest.
            pub fn from_bytes(bytes: [u8; $bytes]) -> Self {
                Self(bytes)
            }

            /// Reads hexadecimal digits of either case.
            pub fn from_hex(text: &str) -> Result<Self, $error> {
                let mut bytes = [0; $bytes];
                hex::decode_to_slice(text, &mut bytes).map_err(|_| $error)?;
                Ok(Self(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&hex::encode(self.0))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self)
            }
        }

        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                Self::from_hex(&text).map_err(serde::de::Error::custom)
            }
        }
    };
}

digest! {
    /// An MD5 digest. It tells damage, not forgery.
    Md5: 16, Md5Error: "must be 32 hexadecimal digits"
}
digest! {
    /// A SHA-512 digest.
    Sha512: 64, Sha512Error: "must be 128 hexadecimal digits"
}

/// The digests that bytes must have, at most one of each algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExpectedDigests {
    /// SHA-256.
    pub sha256: Option<Sha256>,
    /// SHA-512.
    pub sha512: Option<Sha512>,
    /// MD5.
    pub md5: Option<Md5>,
}

/// Digests of a request that cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DigestFieldError {
    /// Not a dictionary of byte sequences.
    #[error("must be a list such as `sha-256=:…:` with digests in base64 (RFC 9530)")]
    Invalid,
    /// Another length than the algorithm has.
    #[error("has a `{0}` of a wrong length")]
    Length(&'static str),
    /// Two different digests of one algorithm: no bytes can have both.
    #[error("has another `{0}` than the rest of the request")]
    Contradiction(&'static str),
}

impl ExpectedDigests {
    /// Reads the value of `Repr-Digest` or `Content-Digest`: a dictionary of byte sequences (RFC 9530 §2, RFC 8941
    /// §3.2). `sha-256` and `sha-512` are read, other algorithms are ignored, as RFC 9530 §2 allows.
    pub fn from_field(value: &[u8]) -> Result<Self, DigestFieldError> {
        let text = std::str::from_utf8(value).map_err(|_| DigestFieldError::Invalid)?;
        let mut found = Self::default();
        for member in text.split(',') {
            let (name, bytes) = parse_member(member.trim_matches([' ', '\t']))?;
            match name {
                // Of several members with one key the last counts (RFC 8941 §4.2.2).
                "sha-256" => found.sha256 = Some(Sha256::from_bytes(sized("sha-256", &bytes)?)),
                "sha-512" => found.sha512 = Some(Sha512::from_bytes(sized("sha-512", &bytes)?)),
                _ => {}
            }
        }
        Ok(found)
    }

    /// Joins the digests of two sources. Fails if they contradict each other.
    pub fn and(self, other: Self) -> Result<Self, DigestFieldError> {
        Ok(Self {
            sha256: agree("sha-256", self.sha256, other.sha256)?,
            sha512: agree("sha-512", self.sha512, other.sha512)?,
            md5: agree("md5", self.md5, other.md5)?,
        })
    }
}

fn agree<T: Copy + PartialEq>(
    name: &'static str,
    one: Option<T>,
    other: Option<T>,
) -> Result<Option<T>, DigestFieldError> {
    match (one, other) {
        (Some(one), Some(other)) if one != other => Err(DigestFieldError::Contradiction(name)),
        _ => Ok(one.or(other)),
    }
}

fn sized<const N: usize>(name: &'static str, bytes: &[u8]) -> Result<[u8; N], DigestFieldError> {
    bytes.try_into().map_err(|_| DigestFieldError::Length(name))
}

/// Parses `name=:base64:`, with parameters behind it that are ignored.
fn parse_member(member: &str) -> Result<(&str, Vec<u8>), DigestFieldError> {
    let invalid = DigestFieldError::Invalid;
    let (name, value) = member.split_once('=').ok_or(invalid)?;
    let is_key = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-.*".contains(c);
    let rest = value.strip_prefix(':').ok_or(invalid)?;
    let (encoded, parameters) = rest.split_once(':').ok_or(invalid)?;
    if name.is_empty() || !name.chars().all(is_key) {
        return Err(invalid);
    }
    if !parameters.is_empty() && !parameters.starts_with(';') {
        return Err(invalid);
    }
    let bytes = BASE64_STANDARD.decode(encoded).map_err(|_| invalid)?;
    Ok((name, bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    // The digests of `{"hello": "world"}` and a line feed (RFC 9530 Appendix B).
    const SHA256: &str = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
    const SHA512: &str = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCs\
        yRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";

    #[test]
    fn the_fields_of_rfc_9530_are_read() {
        let both = ExpectedDigests::from_field(format!("{SHA512},\t{SHA256}").as_bytes()).unwrap();
        assert_eq!(
            both.sha256.unwrap().to_string(),
            "44aff4ab2d7c3250525675a08f0cfa9591168cffe51791c5f5bbc417c15a6c38"
        );
        assert!(both.sha512.unwrap().to_string().starts_with("60c01a9b9d49"));
        let other = ExpectedDigests::from_field(b"unixsum=:AQ==:;a=1").unwrap();
        assert_eq!(other, ExpectedDigests::default());
        for invalid in [
            "",
            "sha-256",
            "sha-256=abc",
            "sha-256=:a",
            "sha-256=:!:",
            "SHA-256=:AQ==:",
            "sha-256=:AQ==:x",
        ] {
            let read = ExpectedDigests::from_field(invalid.as_bytes());
            assert_eq!(read, Err(DigestFieldError::Invalid), "{invalid}");
        }
        let short = ExpectedDigests::from_field(b"sha-256=:AQ==:");
        assert_eq!(short, Err(DigestFieldError::Length("sha-256")));
    }

    #[test]
    fn digests_of_two_sources_must_agree() {
        let of = |byte| ExpectedDigests {
            md5: Some(Md5::from_bytes([byte; 16])),
            ..ExpectedDigests::default()
        };
        assert_eq!(of(1).and(ExpectedDigests::default()), Ok(of(1)));
        assert_eq!(of(1).and(of(1)), Ok(of(1)));
        assert_eq!(
            of(1).and(of(2)),
            Err(DigestFieldError::Contradiction("md5"))
        );
        assert!(Md5::from_hex("00112233445566778899aabbccddeeFF").is_ok());
        assert!(Md5::from_hex("0011").is_err());
    }
}

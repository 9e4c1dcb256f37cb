//! A JSON Web Key Set (RFC 7517): which keys may sign tokens, and how.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys in a set.
const MAX_KEYS: usize = 100;

/// The keys of a set that may sign tokens.
#[derive(Debug)]
pub(super) struct KeySet(Vec<NamedKey>);

#[derive(Debug)]
struct NamedKey {
    id: String,
    /// What it may be used with, and nothing else: at least one.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// What is found under a name.
#[derive(Debug)]
pub(super) enum Found<'a> {
    /// A key for the algorithm.
    Key(&'a DecodingKey),
    /// Keys, but none for the algorithm.
    OtherAlgorithm,
    /// Nothing.
    Unknown,
}

/// Why there is no set.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    /// It is not one.
    #[error("the answer is no JSON Web Key Set")]
    Malformed(#[from] serde_json::Error),
    /// It is larger than any that makes sense.
    #[error("the answer has {0} keys; {MAX_KEYS} are the most")]
    TooMany(usize),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Reads a set. Keys that cannot be used here are left out (RFC 7517 §5), and so are those
    /// without a name, which no token can ask for.
    pub(super) fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        let Document { keys } = serde_json::from_slice(document)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(keys.len()));
        }
        let usable = keys
            .into_iter()
            .filter_map(|key| NamedKey::of(key, allowed));
        Ok(Self(usable.collect()))
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Looks for the key that a token names. Keys of different types may have one name (RFC 7517
    /// §4.5).
    pub(super) fn find(&self, id: &str, algorithm: Algorithm) -> Found<'_> {
        let mut found = Found::Unknown;
        for named in self.0.iter().filter(|named| named.id == id) {
            if named.algorithms.contains(&algorithm) {
                return Found::Key(&named.key);
            }
            found = Found::OtherAlgorithm;
        }
        found
    }
}

impl NamedKey {
    fn of(key: Value, allowed: &[Algorithm]) -> Option<Self> {
        let key: Jwk = serde_json::from_value(key).ok()?;
        let signs = matches!(
            key.common.public_key_use,
            None | Some(PublicKeyUse::Signature)
        );
        let verifies = key
            .common
            .key_operations
            .as_ref()
            .is_none_or(|operations| operations.contains(&KeyOperations::Verify));
        if !signs || !verifies {
            return None;
        }
        let declared = key.common.key_algorithm;
        let algorithms: Vec<Algorithm> = fitting(&key.algorithm)
            .iter()
            .filter(|algorithm| allowed.contains(algorithm))
            .filter(|algorithm| declared.is_none_or(|declared| declared == (**algorithm).into()))
            .copied()
            .collect();
        if algorithms.is_empty() {
            return None;
        }
        Some(Self {
            id: key.common.key_id.clone()?,
            algorithms,
            key: decoding_key(&key.algorithm)?,
        })
    }
}

/// What a key of a type may be used with. A secret has no place in a set that everybody can read.
fn fitting(key: &AlgorithmParameters) -> &'static [Algorithm] {
    match key {
        AlgorithmParameters::RSA(_) => &[
            Algorithm::RS256,
            Algorithm::RS384,
            Algorithm::RS512,
            Algorithm::PS256,
            Algorithm::PS384,
            Algorithm::PS512,
        ],
        AlgorithmParameters::EllipticCurve(key) => match key.curve {
            EllipticCurve::P256 => &[Algorithm::ES256],
            EllipticCurve::P384 => &[Algorithm::ES384],
            _ => &[],
        },
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
            &[Algorithm::EdDSA]
        }
        _ => &[],
    }
}

fn decoding_key(key: &AlgorithmParameters) -> Option<DecodingKey> {
    match key {
        AlgorithmParameters::RSA(key) => DecodingKey::from_rsa_components(&key.n, &key.e),
        AlgorithmParameters::EllipticCurve(key) => DecodingKey::from_ec_components(&key.x, &key.y),
        AlgorithmParameters::OctetKeyPair(key) => DecodingKey::from_ed_components(&key.x),
        _ => return None,
    }
    .ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ALL: [Algorithm; 5] = [
        Algorithm::RS256,
        Algorithm::PS256,
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::EdDSA,
    ];

    /// What the set makes of one key: the algorithms that it is found for.
    fn uses(key: &Value, allowed: &[Algorithm]) -> Vec<Algorithm> {
        let document = json!({ "keys": [{ "kty": "?" }, key] }).to_string();
        let set = KeySet::parse(document.as_bytes(), allowed).unwrap();
        let found = |algorithm: &Algorithm| matches!(set.find("k", *algorithm), Found::Key(_));
        ALL.into_iter().filter(found).collect()
    }

    fn key(mut key: Value, more: Value) -> Value {
        key["kid"] = "k".into();
        if let (Some(key), Value::Object(more)) = (key.as_object_mut(), more) {
            key.extend(more);
        }
        key
    }

    #[test]
    fn a_key_is_used_with_what_fits_its_type_and_is_allowed() {
        let rsa = || json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
        let p256 = || json!({ "kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB" });
        let p384 = || json!({ "kty": "EC", "crv": "P-384", "x": "AQAB", "y": "AQAB" });
        let ed = || json!({ "kty": "OKP", "crv": "Ed25519", "x": "AQAB" });
        let of = |of, more| uses(&key(of, more), &ALL);

        assert_eq!(of(rsa(), json!({})), [Algorithm::RS256, Algorithm::PS256]);
        assert_eq!(of(p256(), json!({})), [Algorithm::ES256]);
        assert_eq!(of(p384(), json!({})), [Algorithm::ES384]);
        assert_eq!(of(ed(), json!({})), [Algorithm::EdDSA]);
        assert_eq!(
            uses(
                &key(rsa(), json!({})),
                &[Algorithm::ES256, Algorithm::PS256]
            ),
            [Algorithm::PS256]
        );

        assert_eq!(of(rsa(), json!({ "alg": "RS256" })), [Algorithm::RS256]);
        assert_eq!(of(rsa(), json!({ "use": "sig" })).len(), 2);
        let operations = json!({ "key_ops": ["sign", "verify"] });
        assert_eq!(of(rsa(), operations).len(), 2);
        for otherwise in [
            json!({ "use": "enc" }),
            json!({ "use": "" }),
            json!({ "key_ops": [] }),
            json!({ "key_ops": ["encrypt"] }),
            json!({ "alg": "RSA-OAEP" }),
            json!({ "alg": "ES256" }),
            json!({ "alg": "HS256" }),
            json!({ "alg": 7 }),
            json!({ "kid": 7 }),
            json!({ "kid": null }),
            json!({ "kid": "other" }),
            json!({ "n": "not base64!" }),
        ] {
            assert_eq!(of(rsa(), otherwise.clone()), [], "{otherwise}");
        }
    }

    #[test]
    fn other_keys_are_left_out() {
        for other in [
            json!({ "kty": "oct", "k": "AQAB" }),
            json!({ "kty": "oct", "k": "AQAB", "alg": "HS256" }),
            json!({ "kty": "EC", "crv": "secp256k1", "x": "AQAB", "y": "AQAB" }),
            json!({ "kty": "EC", "crv": "Ed25519", "x": "AQAB", "y": "AQAB" }),
            json!({ "kty": "OKP", "crv": "P-256", "x": "AQAB" }),
            json!({ "kty": "OKP", "crv": "Ed448", "x": "AQAB" }),
            json!({ "kty": "RSA", "n": "AQAB" }),
            json!({}),
        ] {
            assert_eq!(uses(&key(other.clone(), json!({})), &ALL), [], "{other}");
        }
    }

    #[test]
    fn one_name_may_stand_for_keys_of_two_types() {
        let document = json!({ "keys": [
            { "kid": "k", "kty": "RSA", "n": "AQAB", "e": "AQAB" },
            { "kid": "k", "kty": "OKP", "crv": "Ed25519", "x": "AQAB" },
        ] });
        let set = KeySet::parse(document.to_string().as_bytes(), &ALL).unwrap();
        assert!(matches!(set.find("k", Algorithm::RS256), Found::Key(_)));
        assert!(matches!(set.find("k", Algorithm::EdDSA), Found::Key(_)));
        assert!(matches!(
            set.find("k", Algorithm::ES256),
            Found::OtherAlgorithm
        ));
        assert!(matches!(set.find("K", Algorithm::RS256), Found::Unknown));
    }

    #[test]
    fn what_is_no_set_is_refused() {
        for document in ["", "[]", "{}", "{\"keys\":{}}", "<html>"] {
            assert!(
                KeySet::parse(document.as_bytes(), &ALL).is_err(),
                "{document}"
            );
        }
        let many = json!({ "keys": vec![json!({}); MAX_KEYS + 1] }).to_string();
        let error = KeySet::parse(many.as_bytes(), &ALL).unwrap_err();
        assert!(matches!(error, KeySetError::TooMany(101)));
        assert_eq!(KeySet::parse(b"{\"keys\":[]}", &ALL).unwrap().len(), 0);
    }
}

//! JSON Web Key Sets (RFC 7517): the keys that verify tokens, and their algorithms.

use jsonwebtoken::{
    Algorithm, DecodingKey,
    jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse},
};
use serde::Deserialize;
use serde_json::Value;

/// The most keys in a set.
const MAX_KEYS: usize = 100;

/// The keys of a set that can verify tokens.
#[derive(Debug)]
pub(super) struct KeySet(Vec<NamedKey>);

#[derive(Debug)]
struct NamedKey {
    id: String,
    /// The only algorithms that the key may be used with; at least one.
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The result of a lookup by key id.
#[derive(Debug)]
pub(super) enum KeyLookup<'a> {
    /// A key for the algorithm.
    Found(&'a DecodingKey),
    /// The keys with this id are for other algorithms.
    OtherAlgorithm,
    /// No key has this id.
    Unknown,
}

/// A document that is not accepted as a key set.
#[derive(Debug, thiserror::Error)]
pub(super) enum KeySetError {
    /// The document is not a key set.
    #[error("the answer is not a JSON Web Key Set")]
    Malformed(#[from] serde_json::Error),
    /// The set has more than [`MAX_KEYS`] keys.
    #[error("the answer has {0} keys; the maximum is {MAX_KEYS}")]
    TooMany(usize),
}

#[derive(Deserialize)]
struct Document {
    keys: Vec<Value>,
}

impl KeySet {
    /// Parses a set. Unusable keys are left out (RFC 7517 §5), and so are keys without an id, which no token can
    /// name.
    pub(super) fn parse(document: &[u8], allowed: &[Algorithm]) -> Result<Self, KeySetError> {
        let Document { keys } = serde_json::from_slice(document)?;
        if keys.len() > MAX_KEYS {
            return Err(KeySetError::TooMany(keys.len()));
        }
        let usable = keys
            .into_iter()
            .filter_map(|key| NamedKey::parse(key, allowed));
        Ok(Self(usable.collect()))
    }

    /// The number of keys.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Finds the key with an id for an algorithm. Keys of different types may share an id (RFC 7517 §4.5).
    pub(super) fn find(&self, id: &str, algorithm: Algorithm) -> KeyLookup<'_> {
        let mut lookup = KeyLookup::Unknown;
        for named in self.0.iter().filter(|named| named.id == id) {
            if named.algorithms.contains(&algorithm) {
                return KeyLookup::Found(&named.key);
            }
            lookup = KeyLookup::OtherAlgorithm;
        }
        lookup
    }
}

impl NamedKey {
    fn parse(key: Value, allowed: &[Algorithm]) -> Option<Self> {
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
        let algorithms: Vec<Algorithm> = algorithms_of(&key.algorithm)
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

/// The algorithms for a type of key. Symmetric keys have none: a published secret verifies nothing.
fn algorithms_of(key: &AlgorithmParameters) -> &'static [Algorithm] {
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

    /// The algorithms for which a set finds one key.
    fn uses(key: &Value, allowed: &[Algorithm]) -> Vec<Algorithm> {
        let document = json!({ "keys": [{ "kty": "?" }, key] }).to_string();
        let set = KeySet::parse(document.as_bytes(), allowed).unwrap();
        let found =
            |algorithm: &Algorithm| matches!(set.find("k", *algorithm), KeyLookup::Found(_));
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
    fn a_key_is_used_with_the_allowed_algorithms_of_its_type() {
        let rsa = || json!({ "kty": "RSA", "n": "AQAB", "e": "AQAB" });
        let p256 = || json!({ "kty": "EC", "crv": "P-256", "x": "AQAB", "y": "AQAB" });
        let p384 = || json!({ "kty": "EC", "crv": "P-384", "x": "AQAB", "y": "AQAB" });
        let ed = || json!({ "kty": "OKP", "crv": "Ed25519", "x": "AQAB" });
        let uses_of = |base, more| uses(&key(base, more), &ALL);

        assert_eq!(
            uses_of(rsa(), json!({})),
            [Algorithm::RS256, Algorithm::PS256]
        );
        assert_eq!(uses_of(p256(), json!({})), [Algorithm::ES256]);
        assert_eq!(uses_of(p384(), json!({})), [Algorithm::ES384]);
        assert_eq!(uses_of(ed(), json!({})), [Algorithm::EdDSA]);
        assert_eq!(
            uses(
                &key(rsa(), json!({})),
                &[Algorithm::ES256, Algorithm::PS256]
            ),
            [Algorithm::PS256]
        );

        assert_eq!(
            uses_of(rsa(), json!({ "alg": "RS256" })),
            [Algorithm::RS256]
        );
        assert_eq!(uses_of(rsa(), json!({ "use": "sig" })).len(), 2);
        let operations = json!({ "key_ops": ["sign", "verify"] });
        assert_eq!(uses_of(rsa(), operations).len(), 2);
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
            assert_eq!(uses_of(rsa(), otherwise.clone()), [], "{otherwise}");
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
    fn keys_of_two_types_may_share_an_id() {
        let document = json!({ "keys": [
            { "kid": "k", "kty": "RSA", "n": "AQAB", "e": "AQAB" },
            { "kid": "k", "kty": "OKP", "crv": "Ed25519", "x": "AQAB" },
        ] });
        let set = KeySet::parse(document.to_string().as_bytes(), &ALL).unwrap();
        assert!(matches!(
            set.find("k", Algorithm::RS256),
            KeyLookup::Found(_)
        ));
        assert!(matches!(
            set.find("k", Algorithm::EdDSA),
            KeyLookup::Found(_)
        ));
        assert!(matches!(
            set.find("k", Algorithm::ES256),
            KeyLookup::OtherAlgorithm
        ));
        assert!(matches!(
            set.find("K", Algorithm::RS256),
            KeyLookup::Unknown
        ));
    }

    #[test]
    fn documents_that_are_not_key_sets_are_rejected() {
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

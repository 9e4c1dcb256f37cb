//! Verifies JSON Web Tokens (RFC 7519), as RFC 8725 advises.

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::{Error, ErrorKind},
};
use media_domain::{
    caller::{Principal, Role, Scope},
    name_rules,
    secret::Secret,
};
use media_services::config::AuthenticationConfig;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::published_keys::{KeyError, PublishedKeys};

/// The longest token, in bytes.
const MAX_TOKEN_BYTES: usize = 8 * 1024;
/// The largest difference between the issuer's clock and this machine's, in seconds.
const LEEWAY_SECONDS: u64 = 30;

/// Verifies tokens.
pub(super) struct TokenVerifier {
    keys: Keys,
    audience: Option<String>,
    issuer: Option<String>,
}

enum Keys {
    Secret(Secret),
    Published(PublishedKeys),
}

/// A token that is not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenError {
    /// The token is invalid. The sentence contains no quotes and no part of the token.
    Invalid(&'static str),
    /// The token cannot be verified: there are no keys yet.
    NoKeys,
}

/// The claims of a token; [`principal`] checks them.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    role: Value,
    #[serde(default)]
    project_id: Value,
    /// Without the claim a token allows everything, so null, which is not a scope, must differ from its absence.
    #[serde(default, deserialize_with = "present")]
    scope: Option<Value>,
    #[serde(default)]
    aud: Value,
    #[serde(default)]
    iss: Value,
    #[serde(default)]
    exp: Value,
}

fn present<'de, D: Deserializer<'de>>(value: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(value).map(Some)
}

impl TokenVerifier {
    /// Accepts tokens that are signed with a secret, by HS256.
    pub(super) fn with_secret(config: &AuthenticationConfig, secret: &Secret) -> Self {
        Self::new(config, Keys::Secret(secret.clone()))
    }

    /// Accepts tokens that are signed with published keys.
    pub(super) fn with_published(config: &AuthenticationConfig, keys: PublishedKeys) -> Self {
        Self::new(config, Keys::Published(keys))
    }

    fn new(config: &AuthenticationConfig, keys: Keys) -> Self {
        Self {
            keys,
            audience: config.audience.clone(),
            issuer: config.issuer.clone(),
        }
    }

    /// Verifies a token, and returns the principal that it names.
    pub(super) async fn verify(&self, token: &str) -> Result<Principal, TokenError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(TokenError::Invalid("the token is longer than 8192 bytes"));
        }
        let header = decode_header(token).map_err(|_| {
            TokenError::Invalid(
                "the token is no signed JSON Web Token, or its algorithm is not supported",
            )
        })?;
        // Unknown critical extensions make a token invalid (RFC 7515 §4.1.11); none is known here.
        if header.crit.is_some() {
            return Err(TokenError::Invalid(
                "the token has critical extensions, which are not supported",
            ));
        }
        let key = self.key(header.kid.as_deref(), header.alg).await?;
        let claims = decode::<Claims>(token, &key, &self.validation(header.alg))
            .map_err(|error| TokenError::Invalid(reason(&error)))?
            .claims;
        // A service without a name must reject a token with an audience (RFC 7519 §4.1.3).
        if self.audience.is_none() && !claims.aud.is_null() {
            return Err(TokenError::Invalid(reason(
                &ErrorKind::InvalidAudience.into(),
            )));
        }
        // The issuer is one string (RFC 7519 §4.1.1), while the decoder accepts a list that contains it.
        if self.issuer.is_some() && !claims.iss.is_string() {
            return Err(TokenError::Invalid(reason(
                &ErrorKind::InvalidIssuer.into(),
            )));
        }
        principal(claims).map_err(TokenError::Invalid)
    }

    /// Finds the key that verifies a token. The key decides which algorithms are valid, not the token.
    async fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, TokenError> {
        const OTHER: TokenError =
            TokenError::Invalid("the token is signed by an algorithm that is not accepted");
        match &self.keys {
            // The secret may have been replaced since the last token.
            Keys::Secret(secret) if algorithm == Algorithm::HS256 => {
                Ok(DecodingKey::from_secret(secret.expose().as_bytes()))
            }
            Keys::Secret(_) => Err(OTHER),
            Keys::Published(keys) => {
                let id = id.ok_or(TokenError::Invalid("the token does not name its key: kid"))?;
                keys.find(id, algorithm).await.map_err(|error| match error {
                    KeyError::OtherAlgorithm => OTHER,
                    KeyError::Unknown => {
                        TokenError::Invalid("the token is signed with an unknown key")
                    }
                    KeyError::NoKeys => TokenError::NoKeys,
                })
            }
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY_SECONDS;
        validation.validate_nbf = true;
        let mut required = vec!["exp", "sub"];
        if let Some(audience) = &self.audience {
            validation.set_audience(&[audience]);
            required.push("aud");
        }
        if let Some(issuer) = &self.issuer {
            validation.set_issuer(&[issuer]);
            required.push("iss");
        }
        validation.set_required_spec_claims(&required);
        validation
    }
}

/// The sentence for the client. It can stand in a header.
fn reason(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "the token's signature is wrong",
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidAudience => "the token is for another audience: aud",
        ErrorKind::InvalidIssuer => "the token is from another issuer: iss",
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            match claim.as_str() {
                "aud" => "the token has no audience: aud",
                "iss" => "the token has no issuer: iss",
                "nbf" => "the token's claim nbf is not a time",
                "sub" => INVALID_SUBJECT,
                _ => "the token has no time of expiry: exp",
            }
        }
        _ => "the token cannot be read",
    }
}

const INVALID_SUBJECT: &str = "the token's claim sub must be a string of 1 to 255 bytes without control characters or marks that reverse the direction of writing";

fn principal(claims: Claims) -> Result<Principal, &'static str> {
    Ok(Principal {
        subject: name(&claims.sub).ok_or(INVALID_SUBJECT)?,
        role: role(claims.role)?,
        projects: projects(&claims.project_id)?,
        scope: scope(claims.scope.as_ref())?,
        expires: seconds(&claims.exp),
    })
}

/// The whole seconds of a valid time (`NumericDate`, RFC 7519 §2).
fn seconds(claim: &Value) -> i64 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "fractions are dropped, and large values saturate"
    )]
    let whole = claim.as_f64().map(|seconds| seconds as i64);
    claim.as_i64().or(whole).unwrap_or_default()
}

fn role(claim: Value) -> Result<Role, &'static str> {
    if claim.is_null() {
        return Ok(Role::User);
    }
    serde_json::from_value(claim)
        .map_err(|_| "the token's claim role must be admin, service or user")
}

fn projects(claim: &Value) -> Result<Vec<String>, &'static str> {
    const INVALID: &str = "the token's claim project_id must be a name of 1 to 255 bytes without control characters or marks that reverse the direction of writing, or an array of at most 64 of them";
    let claimed = match claim {
        Value::Null => &[],
        Value::Array(names) => names.as_slice(),
        name => std::slice::from_ref(name),
    };
    let mut projects = Vec::new();
    for claim in claimed {
        let name = name(claim).ok_or(INVALID)?;
        if !projects.contains(&name) {
            projects.push(name);
        }
        if projects.len() > Principal::MAX_PROJECTS {
            return Err(INVALID);
        }
    }
    Ok(projects)
}

fn scope(claim: Option<&Value>) -> Result<Scope, &'static str> {
    match claim {
        None => Ok(Scope::ALL),
        Some(Value::String(claim)) => Ok(Scope::from_claim(claim)),
        Some(_) => Err("the token's claim scope must be a string"),
    }
}

fn name(claim: &Value) -> Option<String> {
    let name = claim.as_str()?;
    name_rules::check(name).is_ok().then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn parsed(claims: Value) -> Result<Principal, &'static str> {
        principal(serde_json::from_value(claims).unwrap())
    }

    #[test]
    fn claims_name_the_subject_the_role_and_the_projects() {
        let least = parsed(json!({ "sub": "ann" })).unwrap();
        assert_eq!(least.subject, "ann");
        assert_eq!(least.role, Role::User);
        assert_eq!(least.projects, Vec::<String>::new());
        assert_eq!(least.scope, Scope::ALL);
        let most = parsed(json!({
            "sub": "s".repeat(255), "role": "service", "project_id": ["b", "a", "b"],
            "scope": "media:read",
        }))
        .unwrap();
        assert_eq!(most.role, Role::Service);
        assert_eq!(most.projects, ["b", "a"]);
        assert!(!most.scope.may_write());
        let one = parsed(json!({ "sub": "ann", "project_id": "a", "role": null })).unwrap();
        assert_eq!(one.projects, ["a"]);
    }

    #[test]
    fn malformed_claims_are_rejected() {
        let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
        assert!(parsed(json!({ "sub": "ann", "project_id": many[1..] })).is_ok());
        for (wrong, claim) in [
            (json!({}), "sub"),
            (json!({ "sub": null }), "sub"),
            (json!({ "sub": 7 }), "sub"),
            (json!({ "sub": "" }), "sub"),
            (json!({ "sub": "s".repeat(256) }), "sub"),
            (json!({ "sub": "a\nb" }), "sub"),
            (json!({ "sub": "a\u{0}" }), "sub"),
            (json!({ "sub": "a", "role": "root" }), "role"),
            (json!({ "sub": "a", "role": "Admin" }), "role"),
            (json!({ "sub": "a", "role": ["admin"] }), "role"),
            (json!({ "sub": "a", "project_id": 7 }), "project_id"),
            (json!({ "sub": "a", "project_id": "" }), "project_id"),
            (json!({ "sub": "a", "project_id": ["a", 7] }), "project_id"),
            (json!({ "sub": "a", "project_id": ["a\r"] }), "project_id"),
            (
                json!({ "sub": "a", "project_id": { "a": "b" } }),
                "project_id",
            ),
            (json!({ "sub": "a", "project_id": many }), "project_id"),
            (json!({ "sub": "a", "scope": null }), "scope"),
            (json!({ "sub": "a", "scope": ["media:read"] }), "scope"),
        ] {
            let said = parsed(wrong.clone()).unwrap_err();
            assert!(said.contains(claim), "{wrong}: {said}");
        }
    }

    #[test]
    fn every_reason_is_a_valid_header_value() {
        for kind in [
            ErrorKind::InvalidSignature,
            ErrorKind::MissingRequiredClaim("sub".to_owned()),
            ErrorKind::InvalidToken,
        ] {
            let said = reason(&kind.into());
            assert!(said.is_ascii() && !said.contains(['"', '\\']), "{said}");
        }
    }
}

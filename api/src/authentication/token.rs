//! Tokens: JSON Web Tokens (RFC 7519), checked as RFC 8725 advises.

use jsonwebtoken::{
    Algorithm, DecodingKey, Validation, decode, decode_header,
    errors::{Error, ErrorKind},
};
use media_domain::{
    caller::{Principal, Role, Scope},
    secret::Secret,
};
use media_services::config::AuthenticationConfig;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::published_keys::{NoKey, PublishedKeys};

/// The longest token, in bytes.
const MAX_BYTES: usize = 8 * 1024;
/// How far the clocks of who makes tokens and of this machine may differ, in seconds.
const LEEWAY: u64 = 30;

/// Checks tokens.
pub(super) struct TokenVerifier {
    keys: Keys,
    audience: Option<String>,
    issuer: Option<String>,
}

enum Keys {
    Secret(Secret),
    Published(PublishedKeys),
}

/// Why a token does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Something is wrong with it: a sentence without quotes, and without anything of the token.
    Invalid(&'static str),
    /// It cannot be checked: there are no keys yet.
    NoKeys,
}

/// What a token says, still unchecked where it has a rule of ours.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    sub: Value,
    #[serde(default)]
    role: Value,
    #[serde(default)]
    project_id: Value,
    /// Absence is good for all; so null, which is no scope, has to be told from it.
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
    /// Believes tokens that are signed with a secret, by HS256.
    pub(super) fn with_secret(config: &AuthenticationConfig, secret: &Secret) -> Self {
        Self::new(config, Keys::Secret(secret.clone()))
    }

    /// Believes tokens that are signed with published keys.
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

    /// Whom a token names.
    pub(super) async fn verify(&self, token: &str) -> Result<Principal, Refusal> {
        if token.len() > MAX_BYTES {
            return Err(Refusal::Invalid("the token is longer than 8192 bytes"));
        }
        let header = decode_header(token).map_err(|_| {
            Refusal::Invalid(
                "the token is no signed JSON Web Token, or its algorithm is not known here",
            )
        })?;
        // RFC 7515 §4.1.11: what must be understood, and is not.
        if header.crit.is_some() {
            return Err(Refusal::Invalid(
                "the token has critical extensions, which are not known here",
            ));
        }
        let key = self.key(header.kid.as_deref(), header.alg).await?;
        let claims = decode::<Claims>(token, &key, &self.validation(header.alg))
            .map_err(|error| Refusal::Invalid(reason(&error)))?
            .claims;
        // RFC 7519 §4.1.3: who has no name must refuse what is meant for somebody.
        if self.audience.is_none() && !claims.aud.is_null() {
            return Err(Refusal::Invalid(reason(&ErrorKind::InvalidAudience.into())));
        }
        // RFC 7519 §4.1.1: one, not several of which one fits.
        if self.issuer.is_some() && !claims.iss.is_string() {
            return Err(Refusal::Invalid(reason(&ErrorKind::InvalidIssuer.into())));
        }
        principal(claims).map_err(Refusal::Invalid)
    }

    /// The key, and the only one: which algorithm goes with which is settled here, whatever the
    /// token says.
    async fn key(&self, id: Option<&str>, algorithm: Algorithm) -> Result<DecodingKey, Refusal> {
        const OTHER: Refusal =
            Refusal::Invalid("the token is signed by an algorithm not taken here");
        match &self.keys {
            // Made anew each time: the secret may have been replaced.
            Keys::Secret(secret) if algorithm == Algorithm::HS256 => {
                Ok(DecodingKey::from_secret(secret.expose().as_bytes()))
            }
            Keys::Secret(_) => Err(OTHER),
            Keys::Published(keys) => {
                let id = id.ok_or(Refusal::Invalid("the token does not name its key: kid"))?;
                keys.find(id, algorithm).await.map_err(|error| match error {
                    NoKey::OtherAlgorithm => OTHER,
                    NoKey::Unknown => Refusal::Invalid("the token is signed with an unknown key"),
                    NoKey::NoneYet => Refusal::NoKeys,
                })
            }
        }
    }

    fn validation(&self, algorithm: Algorithm) -> Validation {
        let mut validation = Validation::new(algorithm);
        validation.leeway = LEEWAY;
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

/// What to tell the sender.
fn reason(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::InvalidSignature => "the token's signature does not fit",
        ErrorKind::ExpiredSignature => "the token has expired",
        ErrorKind::ImmatureSignature => "the token is not valid yet",
        ErrorKind::InvalidAudience => "the token is meant for another audience: aud",
        ErrorKind::InvalidIssuer => "the token is by another issuer: iss",
        ErrorKind::MissingRequiredClaim(claim) | ErrorKind::InvalidClaimFormat(claim) => {
            match claim.as_str() {
                "aud" => "the token does not say whom it is meant for: aud",
                "iss" => "the token does not say who made it: iss",
                "nbf" => "the token's claim nbf is no time",
                "sub" => SUBJECT,
                _ => "the token does not say until when it is good: exp",
            }
        }
        _ => "the token cannot be read",
    }
}

const SUBJECT: &str =
    "the token's claim sub must be a text of 1 to 255 bytes without control characters";

fn principal(claims: Claims) -> Result<Principal, &'static str> {
    Ok(Principal {
        subject: name(&claims.sub).ok_or(SUBJECT)?,
        role: role(claims.role)?,
        projects: projects(&claims.project_id)?,
        scope: scope(claims.scope.as_ref())?,
        expires: seconds(&claims.exp),
    })
}

/// A time that was found to be one (RFC 7519 §2: NumericDate).
fn seconds(claim: &Value) -> i64 {
    #[allow(
        clippy::cast_possible_truncation,
        reason = "fractions do not count; what is too large stays so"
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
    const WRONG: &str = "the token's claim project_id must be a name of 1 to 255 bytes without control characters, or an array of at most 64 of them";
    let claimed = match claim {
        Value::Null => &[],
        Value::Array(names) => names.as_slice(),
        name => std::slice::from_ref(name),
    };
    let mut projects = Vec::new();
    for claim in claimed {
        let name = name(claim).ok_or(WRONG)?;
        if !projects.contains(&name) {
            projects.push(name);
        }
        if projects.len() > Principal::MAX_PROJECTS {
            return Err(WRONG);
        }
    }
    Ok(projects)
}

fn scope(claim: Option<&Value>) -> Result<Scope, &'static str> {
    match claim {
        None => Ok(Scope::ALL),
        Some(Value::String(claim)) => Ok(Scope::from_claim(claim)),
        Some(_) => Err("the token's claim scope must be a text"),
    }
}

fn name(claim: &Value) -> Option<String> {
    let name = claim.as_str()?;
    let fits = (1..=Principal::MAX_NAME_BYTES).contains(&name.len());
    (fits && !name.contains(char::is_control)).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(claims: Value) -> Result<Principal, &'static str> {
        principal(serde_json::from_value(claims).unwrap())
    }

    #[test]
    fn a_token_says_who_and_for_which_projects() {
        let least = of(json!({ "sub": "ann" })).unwrap();
        assert_eq!(least.subject, "ann");
        assert_eq!(least.role, Role::User);
        assert_eq!(least.projects, Vec::<String>::new());
        assert_eq!(least.scope, Scope::ALL);
        let most = of(json!({
            "sub": "s".repeat(255), "role": "service", "project_id": ["b", "a", "b"],
            "scope": "media:read",
        }))
        .unwrap();
        assert_eq!(most.role, Role::Service);
        assert_eq!(most.projects, ["b", "a"]);
        assert!(!most.scope.may_write());
        let one = of(json!({ "sub": "ann", "project_id": "a", "role": null })).unwrap();
        assert_eq!(one.projects, ["a"]);
    }

    #[test]
    fn claims_of_another_form_are_refused() {
        let many: Vec<String> = (0..65).map(|n| n.to_string()).collect();
        assert!(of(json!({ "sub": "ann", "project_id": many[1..] })).is_ok());
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
            let said = of(wrong.clone()).unwrap_err();
            assert!(said.contains(claim), "{wrong}: {said}");
        }
    }

    #[test]
    fn every_reason_can_stand_in_a_header() {
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

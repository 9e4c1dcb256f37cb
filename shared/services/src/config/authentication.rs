//! Authentication: the keys of tokens and of signed links.

use std::str::FromStr;

use clap::Args;
use url::{Host, Url};

use super::{
    Secret,
    checker::{Checker, check_key, list, optional},
};

/// The settings as text.
#[derive(Args, Clone)]
pub struct AuthenticationSettings {
    /// The secret of tokens that are signed with HS256: 32 bytes or more
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        default_value = ""
    )]
    pub jwt_secret: String,

    /// The URL of the public keys of tokens, a JSON Web Key Set: https, or http on this machine
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWKS_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = ""
    )]
    pub jwks_url: String,

    /// The algorithms that public keys may be used with, comma-separated: RS256, RS384, RS512, PS256, PS384, PS512,
    /// ES256, ES384, EdDSA
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_ALGORITHMS",
        value_name = "ALGORITHM,…",
        default_value = "RS256,ES256,EdDSA"
    )]
    pub jwt_algorithms: String,

    /// The audience that tokens must name (aud); without it, tokens must name none
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_AUDIENCE",
        value_name = "NAME",
        default_value = ""
    )]
    pub jwt_audience: String,

    /// The issuer that tokens must name (iss); any by default
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_ISSUER",
        value_name = "NAME",
        default_value = ""
    )]
    pub jwt_issuer: String,

    /// The file that holds the secret of tokens, instead of MEDIA_JWT_SECRET
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_SECRET_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub jwt_secret_file: String,

    /// The key of signed links, 32 bytes or more; or two separated by a comma, of which the first signs and both are
    /// accepted
    #[arg(
        long,
        global = true,
        env = "MEDIA_URL_SIGNING_KEY",
        hide_env_values = true,
        value_name = "SECRET",
        default_value = ""
    )]
    pub url_signing_key: String,

    /// The file that holds the key of signed links, instead of MEDIA_URL_SIGNING_KEY
    #[arg(
        long,
        global = true,
        env = "MEDIA_URL_SIGNING_KEY_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub url_signing_key_file: String,
}

/// The rules for tokens.
#[derive(Clone, Debug)]
pub struct AuthenticationConfig {
    /// The keys of their signatures.
    pub keys: TokenKeys,
    /// The audience that their claim `aud` must name. Without it, a token with the claim is refused (RFC 7519 §4.1.3).
    pub audience: Option<String>,
    /// The issuer that their claim `iss` must name; any, if none.
    pub issuer: Option<String>,
}

/// The keys of the signatures of tokens.
#[derive(Clone, Debug)]
pub enum TokenKeys {
    /// A secret, for HS256 only.
    Secret(Secret),
    /// Public keys from a server.
    Published {
        /// The URL of the JSON Web Key Set: https, or http on a loopback address.
        url: Url,
        /// The algorithms that the keys may be used with; at least one.
        algorithms: Vec<TokenAlgorithm>,
    },
}

/// An algorithm of public keys (RFC 7518 §3.1, RFC 8037 §3.1).
#[allow(missing_docs, reason = "the names are those of the standards")]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    RS256,
    RS384,
    RS512,
    PS256,
    PS384,
    PS512,
    ES256,
    ES384,
    EdDSA,
}

impl FromStr for TokenAlgorithm {
    type Err = ();

    fn from_str(name: &str) -> Result<Self, ()> {
        Ok(match name {
            "RS256" => Self::RS256,
            "RS384" => Self::RS384,
            "RS512" => Self::RS512,
            "PS256" => Self::PS256,
            "PS384" => Self::PS384,
            "PS512" => Self::PS512,
            "ES256" => Self::ES256,
            "ES384" => Self::ES384,
            "EdDSA" => Self::EdDSA,
            _ => return Err(()),
        })
    }
}

/// The keys of signed links.
#[derive(Clone, Debug)]
pub struct LinkKeys(Secret);

impl LinkKeys {
    /// Takes keys as in `MEDIA_URL_SIGNING_KEY`: one, or a new one and an old one separated by a comma.
    pub fn new(text: &str) -> Self {
        Self(Secret::new(text))
    }

    /// Passes the present key of new links, and the key of older links.
    pub fn with<T>(&self, use_keys: impl FnOnce(&str, Option<&str>) -> T) -> T {
        let text = self.0.expose();
        let (signing, previous) = split_link_keys(&text);
        use_keys(signing, previous)
    }
}

impl AuthenticationSettings {
    /// Whether authentication is set up, correctly or not.
    pub(super) fn is_wanted(&self) -> bool {
        [&self.jwt_secret, &self.jwt_secret_file, &self.jwks_url]
            .iter()
            .any(|setting| !setting.is_empty())
    }

    /// Checks the rules for tokens; None without authentication.
    pub(super) fn check(&self, checker: &mut Checker) -> Option<AuthenticationConfig> {
        let secret = checker.secret(
            "MEDIA_JWT_SECRET",
            &self.jwt_secret,
            &self.jwt_secret_file,
            check_key,
        );
        checker.follow(
            "MEDIA_JWT_SECRET",
            secret.as_ref(),
            &self.jwt_secret_file,
            check_key,
        );
        let url = checker.record("MEDIA_JWKS_URL", optional(&self.jwks_url, jwks_url));
        let algorithms = checker.record("MEDIA_JWT_ALGORITHMS", algorithms(&self.jwt_algorithms));
        let audience = checker.record("MEDIA_JWT_AUDIENCE", self.claim(&self.jwt_audience));
        let issuer = checker.record("MEDIA_JWT_ISSUER", self.claim(&self.jwt_issuer));
        let keys = match (secret, url?) {
            (None, None) => return None,
            (Some(secret), None) => TokenKeys::Secret(secret),
            (None, Some(url)) => TokenKeys::Published {
                url,
                algorithms: algorithms?,
            },
            (Some(_), Some(_)) => {
                let reason = "cannot be set beside MEDIA_JWKS_URL: choose one of them";
                return checker.record("MEDIA_JWT_SECRET", Err(reason.to_owned()));
            }
        };
        Some(AuthenticationConfig {
            keys,
            audience: audience?,
            issuer: issuer?,
        })
    }

    /// Checks a claim, which may only be set with authentication.
    fn claim(&self, text: &str) -> Result<Option<String>, String> {
        if text.is_empty() {
            Ok(None)
        } else if self.is_wanted() {
            Ok(Some(text.to_owned()))
        } else {
            Err("needs MEDIA_JWT_SECRET or MEDIA_JWKS_URL beside it".to_owned())
        }
    }

    /// Checks the keys of signed links; None without them.
    pub(super) fn check_link_keys(&self, checker: &mut Checker) -> Option<LinkKeys> {
        let keys = checker.secret(
            "MEDIA_URL_SIGNING_KEY",
            &self.url_signing_key,
            &self.url_signing_key_file,
            check_link_keys,
        );
        checker.follow(
            "MEDIA_URL_SIGNING_KEY",
            keys.as_ref(),
            &self.url_signing_key_file,
            check_link_keys,
        );
        keys.map(LinkKeys)
    }
}

fn check_link_keys(text: &str) -> Result<(), String> {
    let (signing, previous) = split_link_keys(text);
    if previous.is_some_and(|previous| previous.contains(',')) {
        return Err("must be one secret, or two separated by a comma".to_owned());
    }
    check_key(signing)?;
    previous.map_or(Ok(()), check_key)
}

fn split_link_keys(text: &str) -> (&str, Option<&str>) {
    match text.split_once(',') {
        Some((signing, previous)) => (signing.trim(), Some(previous.trim())),
        None => (text, None),
    }
}

fn jwks_url(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).map_err(|error| format!("is not a URL: {error}"))?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must carry no user and no password: the keys are public".to_owned());
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if is_loopback(&url) => Ok(url),
        _ => Err(
            "must start with https://, or http:// and a loopback address: anybody who can change the keys on their way can sign tokens"
                .to_owned(),
        ),
    }
}

/// Whether the host is a loopback address. Names do not count: a resolver decides what `localhost` is.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        Some(Host::Domain(_)) | None => false,
    }
}

fn algorithms(text: &str) -> Result<Vec<TokenAlgorithm>, String> {
    let found = list(text, "an algorithm of public keys such as RS256 or ES256")?;
    if found.is_empty() {
        Err("must name an algorithm".to_owned())
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests;

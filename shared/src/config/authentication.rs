//! Who is believed: what tokens and signed links are checked with.

use std::str::FromStr;

use clap::Args;
use url::{Host, Url};

use super::{
    Secret,
    check::{Checker, list, optional},
};

/// The settings as text.
#[derive(Args, Clone)]
pub struct AuthenticationSettings {
    /// What tokens are signed with, by HS256: 32 bytes or more
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_SECRET",
        hide_env_values = true,
        value_name = "SECRET",
        default_value = ""
    )]
    pub jwt_secret: String,

    /// Where the public keys are that tokens are signed with, as a JSON Web Key Set: https, or http
    /// on this machine
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWKS_URL",
        hide_env_values = true,
        value_name = "URL",
        default_value = ""
    )]
    pub jwks_url: String,

    /// The algorithms that tokens may be signed with by those keys, comma-separated: RS256, RS384,
    /// RS512, PS256, PS384, PS512, ES256, ES384, EdDSA
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_ALGORITHMS",
        value_name = "ALGORITHM,…",
        default_value = "RS256,ES256,EdDSA"
    )]
    pub jwt_algorithms: String,

    /// Whom tokens must be meant for (aud); without it, tokens must not say whom
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_AUDIENCE",
        value_name = "NAME",
        default_value = ""
    )]
    pub jwt_audience: String,

    /// Who must have made the tokens (iss); without it, whoever has the keys
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_ISSUER",
        value_name = "NAME",
        default_value = ""
    )]
    pub jwt_issuer: String,

    /// The file that holds the secret that tokens are signed with, instead of MEDIA_JWT_SECRET
    #[arg(
        long,
        global = true,
        env = "MEDIA_JWT_SECRET_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub jwt_secret_file: String,

    /// What links are signed with, 32 bytes or more; or two with a comma between them, of which the
    /// first signs and both are believed
    #[arg(
        long,
        global = true,
        env = "MEDIA_URL_SIGNING_KEY",
        hide_env_values = true,
        value_name = "SECRET",
        default_value = ""
    )]
    pub url_signing_key: String,

    /// The file that holds the key that links are signed with, instead of MEDIA_URL_SIGNING_KEY
    #[arg(
        long,
        global = true,
        env = "MEDIA_URL_SIGNING_KEY_FILE",
        value_name = "FILE",
        default_value = ""
    )]
    pub url_signing_key_file: String,
}

/// How tokens are checked.
#[derive(Clone, Debug)]
pub struct AuthenticationConfig {
    /// What their signatures are checked with.
    pub keys: TokenKeys,
    /// What their claim `aud` must name; without it, a token with the claim is refused (RFC 7519
    /// §4.1.3).
    pub audience: Option<String>,
    /// What their claim `iss` must be; anything, or nothing, if none.
    pub issuer: Option<String>,
}

/// What the signatures of tokens are checked with.
#[derive(Clone, Debug)]
pub enum TokenKeys {
    /// A secret, by HS256 alone.
    Secret(Secret),
    /// Public keys that a server publishes.
    Published {
        /// Where the JSON Web Key Set is: https, or http on a loopback address.
        url: Url,
        /// What the keys may be used with; at least one.
        algorithms: Vec<TokenAlgorithm>,
    },
}

/// What a public key may sign tokens with (RFC 7518 §3.1, RFC 8037 §3.1).
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

/// What links are signed with.
#[derive(Clone, Debug)]
pub struct LinkKeys(Secret);

impl LinkKeys {
    /// Keys as `MEDIA_URL_SIGNING_KEY` has them: one, or a new one and an old one with a comma between them.
    pub fn new(text: &str) -> Self {
        Self(Secret::new(text))
    }

    /// Gives the key that new links are signed with, and the one that older links were signed with, as they are now.
    pub fn with<T>(&self, use_keys: impl FnOnce(&str, Option<&str>) -> T) -> T {
        let text = self.0.expose();
        let (signing, previous) = split_link_keys(&text);
        use_keys(signing, previous)
    }
}

/// The shortest secret: as long as the hash that it keys (RFC 7518 §3.2).
const LEAST_SECRET: usize = 32;

impl AuthenticationSettings {
    /// Whether there is to be authentication, be it set up well or not.
    pub(super) fn is_wanted(&self) -> bool {
        [&self.jwt_secret, &self.jwt_secret_file, &self.jwks_url]
            .iter()
            .any(|setting| !setting.is_empty())
    }

    /// Checks how tokens are checked; nothing where there is no authentication.
    pub(super) fn check(&self, checker: &mut Checker) -> Option<AuthenticationConfig> {
        let secret = checker.secret(
            "MEDIA_JWT_SECRET",
            &self.jwt_secret,
            &self.jwt_secret_file,
            check_secret,
        );
        checker.follow(
            "MEDIA_JWT_SECRET",
            secret.as_ref(),
            &self.jwt_secret_file,
            check_secret,
        );
        let url = checker.keep("MEDIA_JWKS_URL", optional(&self.jwks_url, jwks_url));
        let algorithms = checker.keep("MEDIA_JWT_ALGORITHMS", algorithms(&self.jwt_algorithms));
        let audience = checker.keep("MEDIA_JWT_AUDIENCE", self.claim(&self.jwt_audience));
        let issuer = checker.keep("MEDIA_JWT_ISSUER", self.claim(&self.jwt_issuer));
        let keys = match (secret, url?) {
            (None, None) => return None,
            (Some(secret), None) => TokenKeys::Secret(secret),
            (None, Some(url)) => TokenKeys::Published {
                url,
                algorithms: algorithms?,
            },
            (Some(_), Some(_)) => {
                let reason = "cannot be set beside MEDIA_JWKS_URL: choose one of them";
                return checker.keep("MEDIA_JWT_SECRET", Err(reason.to_owned()));
            }
        };
        Some(AuthenticationConfig {
            keys,
            audience: audience?,
            issuer: issuer?,
        })
    }

    /// A value that only means something where there is authentication: who sets it believes that
    /// there is.
    fn claim(&self, text: &str) -> Result<Option<String>, String> {
        if text.is_empty() {
            Ok(None)
        } else if self.is_wanted() {
            Ok(Some(text.to_owned()))
        } else {
            Err("needs MEDIA_JWT_SECRET or MEDIA_JWKS_URL beside it".to_owned())
        }
    }

    /// Checks what links are signed with; nothing where there are no signed links.
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

pub(super) fn check_secret(text: &str) -> Result<(), String> {
    if text.len() < LEAST_SECRET {
        Err(format!("must have {LEAST_SECRET} bytes or more"))
    } else {
        Ok(())
    }
}

fn check_link_keys(text: &str) -> Result<(), String> {
    let (signing, previous) = split_link_keys(text);
    if previous.is_some_and(|previous| previous.contains(',')) {
        return Err("must be one secret, or two with a comma between them".to_owned());
    }
    check_secret(signing)?;
    previous.map_or(Ok(()), check_secret)
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
            "must start with https://, or http:// and a loopback address: whoever can change the keys on their way can sign tokens"
                .to_owned(),
        ),
    }
}

/// Names do not count: what `localhost` is, a resolver says.
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
mod tests {
    use super::*;

    const SECRET: &str = "a secret of thirty-two bytes, ok";

    fn settings() -> AuthenticationSettings {
        AuthenticationSettings {
            jwt_secret: String::new(),
            jwks_url: String::new(),
            jwt_algorithms: "RS256,ES256,EdDSA".to_owned(),
            jwt_audience: String::new(),
            jwt_issuer: String::new(),
            url_signing_key: String::new(),
            jwt_secret_file: String::new(),
            url_signing_key_file: String::new(),
        }
    }

    fn checked(settings: &AuthenticationSettings) -> Result<Option<AuthenticationConfig>, String> {
        let mut checker = Checker::default();
        let config = settings.check(&mut checker);
        checker
            .finish(Some(config))
            .map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_secret_or_a_server_of_keys_but_not_both() {
        assert!(checked(&settings()).unwrap().is_none());
        let secret = AuthenticationSettings {
            jwt_secret: SECRET.to_owned(),
            ..settings()
        };
        let config = checked(&secret).unwrap().unwrap();
        assert!(matches!(config.keys, TokenKeys::Secret(_)));
        let both = AuthenticationSettings {
            jwks_url: "https://login.test/keys".to_owned(),
            ..secret
        };
        assert!(checked(&both).unwrap_err().contains("MEDIA_JWT_SECRET"));
        let server = AuthenticationSettings {
            jwt_secret: String::new(),
            ..both
        };
        let config = checked(&server).unwrap().unwrap();
        assert!(
            matches!(config.keys, TokenKeys::Published { algorithms, .. } if algorithms.len() == 3)
        );
    }

    #[test]
    fn short_secrets_are_refused_and_never_shown() {
        let secret = AuthenticationSettings {
            jwt_secret: SECRET[1..].to_owned(),
            ..settings()
        };
        let error = checked(&secret).unwrap_err();
        assert!(error.contains("32 bytes"), "{error}");
        assert!(!error.contains(&SECRET[1..]), "{error}");
    }

    #[test]
    fn keys_come_over_https_or_from_this_machine() {
        for good in [
            "https://login.test/keys?x=1",
            "http://127.0.0.1:80/",
            "http://[::1]/",
        ] {
            assert!(jwks_url(good).is_ok(), "{good}");
        }
        for bad in [
            "http://login.test/keys",
            "http://localhost/keys",
            "http://10.0.0.1/keys",
            "https://user:password@login.test/",
            "https://user@login.test/",
            "file:///keys",
            "login.test",
        ] {
            assert!(jwks_url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn published_keys_never_go_with_secrets_or_with_nothing() {
        assert_eq!(
            algorithms("ES384, RS256").unwrap(),
            [TokenAlgorithm::ES384, TokenAlgorithm::RS256]
        );
        for bad in [
            "",
            ",",
            "HS256",
            "RS256,none",
            "none",
            "rs256",
            "RS256;ES256",
        ] {
            assert!(algorithms(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn who_names_an_audience_wants_authentication() {
        let lone = AuthenticationSettings {
            jwt_audience: "media".to_owned(),
            jwt_issuer: "login".to_owned(),
            ..settings()
        };
        let errors = checked(&lone).unwrap_err();
        for variable in ["MEDIA_JWT_AUDIENCE", "MEDIA_JWT_ISSUER"] {
            assert!(errors.contains(variable), "{errors}");
        }
    }

    #[test]
    fn links_have_one_key_or_two() {
        let (other, short) = (SECRET.replace(',', "."), "short");
        let split = |text: &str| {
            check_link_keys(text).unwrap();
            let owned = |(new, old): (&str, Option<&str>)| (new.to_owned(), old.map(str::to_owned));
            LinkKeys::new(text).with(|new, old| owned((new, old)))
        };
        assert_eq!(split(&other), (other.clone(), None));
        let two = format!("{other}, {other}");
        assert_eq!(split(&two), (other.clone(), Some(other.clone())));
        for bad in [
            short.to_owned(),
            format!("{other},{short}"),
            format!("{other},"),
            format!("{other},{other},{other}"),
        ] {
            assert!(check_link_keys(&bad).is_err(), "{bad}");
        }
    }
}

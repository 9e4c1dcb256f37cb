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

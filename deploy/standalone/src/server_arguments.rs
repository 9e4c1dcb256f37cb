//! The arguments that name a service.

use clap::Args;
use url::Url;

/// The service that a command talks to.
#[derive(Args, Clone, Debug)]
pub(crate) struct ServerArguments {
    /// The service, such as localhost:8080 or https://media.example.org; without it, the one on the data of this
    /// directory
    #[arg(long, value_name = "URL", value_parser = parse_server)]
    pub(crate) server: Option<Url>,
    /// The token for a service with authentication
    #[arg(
        long,
        env = "MEDIA_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub(crate) token: Option<String>,
}

/// Parses the URL of a service. `localhost:8080` means `http://localhost:8080`.
fn parse_server(text: &str) -> Result<Url, String> {
    let has_scheme = text.contains("://");
    let url = if has_scheme {
        Url::parse(text)
    } else {
        Url::parse(&format!("http://{text}"))
    };
    let url = url.map_err(|error| format!("{error}; give it as localhost:8080 or https://host"))?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err("it must begin with http:// or https://".to_owned());
    }
    // Messages name the service.
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "it must not contain a user or a password; give a token with --token".to_owned(),
        );
    }
    Ok(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_needs_no_scheme() {
        for (text, expected) in [
            ("localhost:8080", "http://localhost:8080/"),
            ("127.0.0.1:8080", "http://127.0.0.1:8080/"),
            ("[::1]:8080", "http://[::1]:8080/"),
            ("media.example", "http://media.example/"),
            ("media.example/base", "http://media.example/base"),
            ("https://media.example", "https://media.example/"),
        ] {
            assert_eq!(parse_server(text).unwrap().as_str(), expected);
        }
        for bad in [
            "",
            "ftp://media.example",
            "http://",
            "a b",
            "host:port",
            "http://user:secret@host",
        ] {
            assert!(parse_server(bad).is_err(), "{bad}");
        }
    }
}

//! The errors of the client: each says which side failed, and what to do.

use std::{error::Error, fmt};

use media_migrations::exit::ExitKind;
use reqwest::StatusCode;
use serde_json::Value;

use super::names::printable;

/// An error of a request to the service.
#[derive(Clone, Debug)]
pub(crate) struct ClientError {
    sentence: String,
    code: String,
    kind: Option<ExitKind>,
    /// Whether a later request may succeed: the service did not answer, or is unavailable.
    is_temporary: bool,
}

impl ClientError {
    /// The service did not answer.
    pub(super) fn unreachable(service: &str, error: &reqwest::Error) -> Self {
        let reason = if error.is_timeout() {
            "no answer in time".to_owned()
        } else {
            root_cause(error)
        };
        Self {
            sentence: format!(
                "{service} cannot be reached: {reason}; check that it runs, or name another with --server"
            ),
            code: "service_unreachable".to_owned(),
            kind: Some(ExitKind::Unavailable),
            is_temporary: true,
        }
    }

    /// The answer is not one of the service.
    pub(super) fn not_the_service(service: &str, status: StatusCode) -> Self {
        let is_temporary = status.is_server_error();
        Self {
            sentence: format!(
                "{service} answered {status} without a document of the media service; check the URL of --server"
            ),
            code: "not_the_service".to_owned(),
            kind: Some(ExitKind::Unavailable),
            is_temporary,
        }
    }

    /// The URL of the service has no path.
    pub(super) fn unusable_url(service: &str) -> Self {
        Self {
            sentence: format!("{service} has a URL that cannot be used; check --server"),
            code: "not_the_service".to_owned(),
            kind: None,
            is_temporary: false,
        }
    }

    /// The service answered with an error document.
    pub(super) fn refused(
        service: &str,
        status: StatusCode,
        document: &Value,
        token: bool,
    ) -> Self {
        let errors = document["errors"].as_array().into_iter().flatten();
        let details: Vec<String> = errors.map(describe).collect();
        let details = details.join("; ");
        let code = document["errors"][0]["code"].as_str();
        let advice = match status {
            StatusCode::UNAUTHORIZED if token => "; give a valid token with --token or MEDIA_TOKEN",
            StatusCode::UNAUTHORIZED => "; give a token with --token or MEDIA_TOKEN",
            StatusCode::FORBIDDEN => "; the token of --token or MEDIA_TOKEN does not allow it",
            _ => "",
        };
        let kind = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(ExitKind::NoPermission),
            status if status.is_server_error() => Some(ExitKind::Unavailable),
            _ => None,
        };
        let verb = if status.is_server_error() {
            "failed"
        } else {
            "refused"
        };
        Self {
            sentence: format!(
                "{service} {verb} the request: {}{advice}",
                printable(&details)
            ),
            code: code.unwrap_or("unknown").to_owned(),
            kind,
            is_temporary: status == StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// A failure of a transfer whose answer had begun.
    pub(super) fn interrupted(service: &str, reason: &str) -> Self {
        Self {
            sentence: format!("the connection to {service} broke: {reason}; try again"),
            code: "service_unreachable".to_owned(),
            kind: Some(ExitKind::Unavailable),
            is_temporary: true,
        }
    }

    /// A job that the service does not have any more.
    pub(crate) fn deleted(id: &str) -> Self {
        Self {
            sentence: format!("the job {id} was deleted"),
            code: "deleted".to_owned(),
            kind: None,
            is_temporary: false,
        }
    }

    /// The stable code: that of the service, or one of this client.
    pub(crate) fn code(&self) -> &str {
        &self.code
    }

    /// The kind for the exit code; none for a request that the service refused.
    pub(crate) fn kind(&self) -> Option<ExitKind> {
        self.kind
    }

    /// Whether a later request may succeed.
    pub(crate) fn is_temporary(&self) -> bool {
        self.is_temporary
    }
}

impl fmt::Display for ClientError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for ClientError {}

/// The detail of an error, with the parameter that it is about.
fn describe(error: &Value) -> String {
    let detail = error["detail"].as_str().unwrap_or_default();
    match error["source"]["parameter"].as_str() {
        Some(parameter) if !detail.contains(parameter) => format!("{parameter}: {detail}"),
        _ => detail.to_owned(),
    }
}

/// The innermost cause of an error.
pub(super) fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

//! Tells which side has failed: the origin, the service, or neither.

/// The code of a failure that the request itself causes.
const OF_THE_REQUEST: [&str; 10] = [
    "invalid_arguments",
    "unsupported_scheme",
    "egress_blocked",
    "too_large",
    "type_not_allowed",
    "size_mismatch",
    "checksum_mismatch",
    "quota_exceeded",
    "overwrite_denied",
    "cancelled",
];
/// The codes of failures of the service.
const OF_THE_SERVICE: [&str; 3] = ["storage_failed", "worker_lost", "internal"];

/// The side that has failed, as the beginning of a sentence; none if the import as requested is not possible.
fn side(code: &str) -> Option<&'static str> {
    if OF_THE_REQUEST.contains(&code) {
        None
    } else if OF_THE_SERVICE.contains(&code) {
        Some("the service")
    } else {
        Some("the origin")
    }
}

/// Describes a failure with the side that has failed.
pub(super) fn describe(code: &str, detail: &str) -> String {
    match side(code) {
        Some(side) => format!("{side}: {detail}"),
        None => detail.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use media_domain::job::FailureCode;

    use super::*;

    #[test]
    fn the_codes_exist() {
        let all: Vec<&str> = FailureCode::ALL.map(FailureCode::as_str).to_vec();
        for code in OF_THE_REQUEST.iter().chain(&OF_THE_SERVICE) {
            assert!(*code == "cancelled" || all.contains(code), "{code}");
        }
    }
}

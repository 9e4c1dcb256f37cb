//! Preconditions of writes: `If-Match` and `If-None-Match` (RFC 9110 §13.1).

use parse_net::{EntityTag, etag};

/// The error for a write whose preconditions do not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the media does not meet `If-Match` or `If-None-Match`; fetch its current state and try again"
)]
pub struct PreconditionFailed;

/// The preconditions of a write, evaluated in its transaction. They hold if there are none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WritePrecondition {
    if_match: Option<Vec<u8>>,
    if_none_match: Option<Vec<u8>>,
}

impl WritePrecondition {
    /// Takes the raw values of the headers. Several fields must be joined by commas.
    pub fn new(if_match: Option<Vec<u8>>, if_none_match: Option<Vec<u8>>) -> Self {
        Self {
            if_match,
            if_none_match,
        }
    }

    /// The precondition that no media is at the path.
    pub fn if_absent() -> Self {
        Self::new(None, Some(b"*".to_vec()))
    }

    /// Whether there are no preconditions.
    pub fn is_empty(&self) -> bool {
        self.if_match.is_none() && self.if_none_match.is_none()
    }

    /// Evaluates the preconditions against the opaque texts of the strong tags of the media at the path; none if there is
    /// no media. A malformed value never holds, so that a conditional write is not made unconditionally.
    pub fn evaluate(&self, current: &[&str]) -> Result<(), PreconditionFailed> {
        // Texts that are no valid tags match nothing.
        let tags: Vec<EntityTag<'_>> = current
            .iter()
            .filter_map(|text| EntityTag::strong(text.as_bytes()).ok())
            .collect();
        if let Some(value) = &self.if_match {
            let matches = |tag| etag::if_match(value, Some(tag)).unwrap_or(false);
            if !tags.iter().any(matches) {
                return Err(PreconditionFailed);
            }
        }
        if let Some(value) = &self.if_none_match {
            let matches = |tag| etag::if_none_match(value, tag).unwrap_or(true);
            if tags.iter().any(matches) {
                return Err(PreconditionFailed);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn preconditions_are_evaluated_according_to_rfc_9110() {
        let digest = "0707";
        let (own, other) = (format!("\"{digest}\""), "\"other\"".to_owned());
        let list = format!("\"a\", {own}");
        let weak = format!("W/{own}");
        let cases: [(Option<&str>, Option<&str>, bool, bool); 11] = [
            // If-Match, If-None-Match, whether they hold for the media, whether they hold without media.
            (None, None, true, true),
            (Some("*"), None, true, false),
            (Some(&own), None, true, false),
            (Some(&list), None, true, false),
            (Some(&weak), None, false, false),
            (Some(&other), None, false, false),
            (Some("unquoted"), None, false, false),
            (None, Some("*"), false, true),
            (None, Some(&weak), false, true),
            (None, Some(&other), true, true),
            (Some(&own), Some("*"), false, false),
        ];
        for (if_match, if_none_match, with, without) in cases {
            let bytes = |text: Option<&str>| text.map(|text| text.as_bytes().to_vec());
            let condition = WritePrecondition::new(bytes(if_match), bytes(if_none_match));
            let holds = |current: &[&str]| condition.evaluate(current).is_ok();
            let case = (if_match, if_none_match);
            assert_eq!(
                (holds(&["another", digest]), holds(&[])),
                (with, without),
                "{case:?}"
            );
        }
    }
}

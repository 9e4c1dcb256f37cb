//! How a browser treats a download.

use poem_openapi::Enum;
use serde::Deserialize;

/// How a browser treats a download.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(crate) enum Disposition {
    /// Shows it, if it is of a type that cannot run there.
    Inline,
    /// Saves it.
    Attachment,
}

impl Disposition {
    /// As a query has it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Attachment => "attachment",
        }
    }
}

//! The treatment of a download by browsers.

use poem_openapi::Enum;
use serde::Deserialize;

/// The treatment of a download by browsers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum, Deserialize)]
#[oai(rename_all = "lowercase")]
#[serde(rename_all = "lowercase")]
pub(crate) enum Disposition {
    /// Browsers show the media, if its type cannot run scripts.
    Inline,
    /// Browsers save the media.
    Attachment,
}

impl Disposition {
    /// The value in a query.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Inline => "inline",
            Self::Attachment => "attachment",
        }
    }
}

//! The fields of an upload form before the file.

use media_shared::media::{Filename, Sha256};

use crate::jsonapi::{ApiError, ErrorCode};

/// The name of the field with the file.
pub(super) const FILE_FIELD: &str = "media";

/// The values of the fields before the file.
#[derive(Default)]
pub(super) struct FormFields {
    pub(super) public: bool,
    pub(super) filename: Option<Filename>,
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
}

/// A field that is not accepted.
fn invalid_field(name: &str, detail: &str) -> ApiError {
    let shown: String = name.chars().take(64).collect();
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        pointer_to(name),
        format!("`{shown}` {detail}"),
    )
}

impl FormFields {
    const NAMES: [&'static str; 4] = ["public", "filename", "sha256", "size"];

    /// Rejects an unknown field by its name, before its value is read, which may be the file.
    pub(super) fn check_name(name: &str) -> Result<(), ApiError> {
        if Self::NAMES.contains(&name) {
            return Ok(());
        }
        let detail = "is not a field of this form; send the file in the field `media`";
        Err(invalid_field(name, detail))
    }

    /// Parses the value of a field.
    pub(super) fn read(&mut self, name: &str, value: &[u8]) -> Result<(), ApiError> {
        let invalid = |detail: String| invalid_field(name, &detail);
        let text = std::str::from_utf8(value).map_err(|_| invalid("is not UTF-8".to_owned()))?;
        match name {
            "public" => {
                self.public = text
                    .parse()
                    .map_err(|_| invalid("must be `true` or `false`".to_owned()))?;
            }
            "filename" => {
                let name = Filename::new(text).map_err(|error| invalid(error.to_string()))?;
                self.filename = Some(name);
            }
            "sha256" => {
                let digest = Sha256::from_hex(text).map_err(|error| invalid(error.to_string()))?;
                self.sha256 = Some(digest);
            }
            "size" => {
                let size = text
                    .parse()
                    .map_err(|_| invalid("must be a number of bytes".to_owned()))?;
                self.size = Some(size);
            }
            other => return Self::check_name(other),
        }
        Ok(())
    }
}

pub(super) fn missing_file() -> ApiError {
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        format!("/{FILE_FIELD}"),
        "the form needs a file field named `media`",
    )
}

/// The JSON Pointer to a field of the form.
pub(super) fn pointer_to(name: &str) -> String {
    let name: String = name.chars().take(64).collect();
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

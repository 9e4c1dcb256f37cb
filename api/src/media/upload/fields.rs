//! The fields of an upload form.

use chrono::{DateTime, Utc};
use media_domain::{
    content_disposition::FormPart,
    media::{ClientMeta, DigestFieldError, Filename, Sha256},
    permissions::ProjectSelector,
};
use media_ingest::Expectation;

use crate::{
    jsonapi::{ApiError, ErrorCode},
    media::parameters::PROJECT,
    time,
};

/// The name of the field with the file.
pub(super) const FILE_FIELD: &str = "media";
/// Another name of the field with the file, which upload widgets use unless told otherwise.
const FILE_FIELD_ALIAS: &str = "file";
/// The name of the field with the client's own data, which may be longer than others.
pub(super) const META_FIELD: &str = "meta";
/// The fields that upload widgets add. They repeat what the file's part says, and are ignored.
const IGNORED_FIELDS: [&str; 3] = ["name", "type", "relativePath"];

/// The values of the fields other than the file, before it or after it.
#[derive(Default)]
pub(super) struct FormFields {
    pub(super) public: bool,
    pub(super) filename: Option<Filename>,
    pub(super) sha256: Option<Sha256>,
    pub(super) size: Option<u64>,
    pub(super) meta: Option<ClientMeta>,
    pub(super) expires_at: Option<DateTime<Utc>>,
    pub(super) project: ProjectSelector,
}

/// A field that is not accepted.
fn invalid_field(name: &str, detail: &str) -> ApiError {
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        pointer_to(name),
        format!("`{}` {detail}", shown(name)),
    )
}

/// The beginning of a name that a client has chosen.
fn shown(name: &str) -> String {
    name.chars().take(64).collect()
}

/// Whether a part is the file. Rejects an unknown field by its name, before its value is read, which may be the file.
pub(super) fn is_file(part: &FormPart) -> Result<bool, ApiError> {
    let name = part.name.as_deref().unwrap_or_default();
    if [FILE_FIELD, FILE_FIELD_ALIAS].contains(&name) {
        return Ok(true);
    }
    let is_value = FormFields::NAMES.contains(&name)
        || IGNORED_FIELDS.contains(&name) && part.filename.is_none();
    if is_value {
        return Ok(false);
    }
    Err(invalid_field(
        name,
        "is not a field of this form; send the file as `media`",
    ))
}

/// Parses a boolean as forms and scripts of several languages write it.
pub(in crate::media) fn parse_boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "True" | "1" | "on" => Some(true),
        "false" | "False" | "0" | "off" => Some(false),
        _ => None,
    }
}

impl FormFields {
    const NAMES: [&'static str; 7] = [
        "public",
        "filename",
        "sha256",
        "size",
        META_FIELD,
        "expires_at",
        PROJECT,
    ];

    /// Parses the value of a field; ignores those of fields that upload widgets add.
    pub(super) fn read(&mut self, name: &str, value: &[u8]) -> Result<(), ApiError> {
        let invalid = |detail: String| invalid_field(name, &detail);
        if IGNORED_FIELDS.contains(&name) {
            return Ok(());
        }
        let text = std::str::from_utf8(value).map_err(|_| invalid("is not UTF-8".to_owned()))?;
        match name {
            "public" => {
                self.public = parse_boolean(text)
                    .ok_or_else(|| invalid("must be `true` or `false`".to_owned()))?;
            }
            "filename" => {
                let name = Filename::new(text).map_err(|error| invalid(error.to_string()))?;
                self.filename = Some(name);
            }
            "sha256" => {
                let digest = Sha256::from_hex(text).map_err(|error| invalid(error.to_string()))?;
                self.sha256 = Some(digest);
            }
            META_FIELD => {
                let value = serde_json::from_str(text)
                    .map_err(|error| invalid(format!("is not JSON: {error}")))?;
                let meta = ClientMeta::new(value).map_err(|error| invalid(error.to_string()))?;
                self.meta = Some(meta);
            }
            "expires_at" => {
                let at = time::parse(text).map_err(|fault| invalid(fault.to_owned()))?;
                if at <= Utc::now() {
                    return Err(invalid("must lie in the future".to_owned()));
                }
                self.expires_at = Some(at);
            }
            PROJECT => {
                let project = ProjectSelector::new(text);
                self.project = project.map_err(|error| invalid(error.to_string()))?;
            }
            // `is_file` rejects all others.
            _ => {
                let size = text
                    .parse()
                    .map_err(|_| invalid("must be a number of bytes".to_owned()))?;
                self.size = Some(size);
            }
        }
        Ok(())
    }

    /// Checks that the form names no other project than the one that the media is stored in.
    pub(super) fn check_project(&self, project: Option<&str>) -> Result<(), ApiError> {
        let agrees = match &self.project {
            ProjectSelector::Any => true,
            ProjectSelector::Unassigned => project.is_none(),
            ProjectSelector::Project(named) => project == Some(named),
        };
        if agrees {
            return Ok(());
        }
        Err(invalid_field(
            PROJECT,
            "must be the project of the query, the link or the token; if they leave it open, it must come before the file",
        ))
    }

    /// The properties that the file must have, so far as the fields state them.
    pub(super) fn expectation(&self, max_bytes: u64) -> Expectation {
        Expectation {
            max_bytes,
            size: self.size,
            sha256: self.sha256,
            sha512: None,
            md5: None,
        }
    }
}

/// A field `sha256` that has another digest than a header of the file's part.
pub(super) fn contradicting_sha256(error: DigestFieldError) -> ApiError {
    invalid_field("sha256", &error.to_string())
}

pub(super) fn missing_file() -> ApiError {
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        pointer_to(FILE_FIELD),
        "the form needs a file field named `media`",
    )
}

pub(super) fn second_file() -> ApiError {
    ApiError::at_pointer(
        ErrorCode::InvalidValue,
        pointer_to(FILE_FIELD),
        "the form has more than one file; send each with a request of its own",
    )
}

/// The JSON Pointer to a field of the form.
pub(super) fn pointer_to(name: &str) -> String {
    format!("/{}", shown(name).replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &str, filename: Option<&str>) -> FormPart {
        FormPart {
            name: Some(name.to_owned()),
            filename: filename.and_then(|name| Filename::new(name).ok()),
        }
    }

    #[test]
    fn the_file_has_two_names_and_other_fields_are_told_by_theirs() {
        for (name, filename, expected) in [
            ("media", Some("a"), Ok(true)),
            ("file", Some("a"), Ok(true)),
            ("media", None, Ok(true)),
            ("public", None, Ok(false)),
            ("name", None, Ok(false)),
            ("type", None, Ok(false)),
            ("name", Some("a"), Err("name")),
            ("photo", Some("a"), Err("photo")),
            ("colour", None, Err("colour")),
        ] {
            let found = is_file(&part(name, filename)).map_err(|error| error.to_string());
            let expected = expected.map_err(|name| {
                format!(
                    "invalid_value: `{name}` is not a field of this form; send the file as `media`"
                )
            });
            assert_eq!(found, expected, "{name} {filename:?}");
        }
    }

    #[test]
    fn booleans_have_the_spellings_of_forms_and_scripts() {
        for (text, expected) in [
            ("true", Some(true)),
            ("True", Some(true)),
            ("1", Some(true)),
            ("on", Some(true)),
            ("false", Some(false)),
            ("False", Some(false)),
            ("0", Some(false)),
            ("off", Some(false)),
            ("yes", None),
            ("", None),
            ("2", None),
        ] {
            assert_eq!(parse_boolean(text), expected, "{text}");
        }
    }
}

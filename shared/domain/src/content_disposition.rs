//! Names of files and form fields in `Content-Disposition`, in responses of origins (RFC 6266) and in parts of forms
//! (RFC 7578).
//!
//! The parser is lenient, since many senders write the field incorrectly. Among several names it prefers, in this
//! order: a `filename*` that can be decoded, a `filename`, the continuations of RFC 2231, and a malformed `filename*`.
//! A name never contains a path, a control character or a character that changes the reading direction.

use crate::{
    header_parameters::{Parameter, Parameterized},
    media::Filename,
};

mod decode;

use decode::{PercentDecoding, Quality};

/// The names in a part of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormPart {
    /// The name of the form field.
    pub name: Option<String>,
    /// The file name, if the part is a file.
    pub filename: Option<Filename>,
}

/// Parses the file name in the response of an origin.
pub fn filename(field: &[u8]) -> Option<Filename> {
    best_filename(&Parameterized::parse(field), PercentDecoding::All)
}

/// Parses the names in a part of a form.
pub fn form_part(field: &[u8]) -> FormPart {
    let field = Parameterized::parse(field);
    let name = field.get("name");
    FormPart {
        name: name.map(|name| decode::text(name, PercentDecoding::Form)),
        filename: best_filename(&field, PercentDecoding::Form),
    }
}

fn best_filename(field: &Parameterized, percent: PercentDecoding) -> Option<Filename> {
    let all = |name: &'static str| {
        let parameters = field.parameters.iter();
        parameters.filter(move |parameter| parameter.name == name)
    };
    let extended: Vec<(Quality, String)> = all("filename*")
        .map(|parameter| decode::extended(&parameter.value))
        .collect();
    let of = |quality| {
        let candidates = extended.iter().filter(move |(found, _)| *found == quality);
        candidates.map(|(_, text)| text.clone())
    };
    of(Quality::Good)
        .chain(all("filename").map(|parameter| decode::text(&parameter.value, percent)))
        .chain(join_continuations(&field.parameters))
        .chain(of(Quality::Broken))
        .find_map(|text| Filename::from_untrusted(&text))
}

/// Joins the continuations of a name: `filename*0`, `filename*1*`, … (RFC 2231 §3).
fn join_continuations(parameters: &[Parameter]) -> Option<String> {
    let mut whole = Vec::new();
    for number in 0.. {
        let name = format!("filename*{number}");
        let section = parameters
            .iter()
            .find(|parameter| parameter.name.trim_end_matches('*') == name);
        match section {
            // A section that is not encoded is escaped, so that all sections can be decoded together.
            Some(section) if !section.name.ends_with('*') => {
                whole.extend(section.value.iter().flat_map(|byte| match byte {
                    b'%' => b"%25".to_vec(),
                    byte => vec![*byte],
                }));
            }
            Some(section) => whole.extend_from_slice(&section.value),
            None => break,
        }
    }
    let is_encoded = parameters
        .iter()
        .any(|parameter| parameter.name == "filename*0*");
    match (whole.is_empty(), is_encoded) {
        (true, _) => None,
        (false, true) => Some(decode::extended(&whole).1),
        (false, false) => Some(decode::text(&whole, PercentDecoding::All)),
    }
}

#[cfg(test)]
mod tests;

//! Names of files and form fields in `Content-Disposition`, for answers of origins (RFC 6266) and parts
//! of forms (RFC 7578) alike.
//!
//! The reader is lenient, since many of those who write the field are careless. Of several names it
//! takes the best: a `filename*` that can be decoded, a `filename`, the continuations of RFC 2231, and
//! last what can be made of a broken `filename*`. A name never has a path, a control character or one
//! that changes the reading direction.

use crate::{
    header_parameters::{Parameter, Parameterized},
    media::Filename,
};

mod decode;

use decode::{Percent, Quality};

/// The names of a part of a form.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FormPart {
    /// The form field.
    pub name: Option<String>,
    /// The file, if it is one.
    pub filename: Option<Filename>,
}

/// The name that an origin gives a file.
pub fn filename(field: &[u8]) -> Option<Filename> {
    best_filename(&Parameterized::parse(field), Percent::All)
}

/// The names in a part of a form.
pub fn form_part(field: &[u8]) -> FormPart {
    let field = Parameterized::parse(field);
    let name = field.get("name");
    FormPart {
        name: name.map(|name| decode::text(name, Percent::Form)),
        filename: best_filename(&field, Percent::Form),
    }
}

fn best_filename(field: &Parameterized, percent: Percent) -> Option<Filename> {
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
        .chain(continued(&field.parameters))
        .chain(of(Quality::Broken))
        .find_map(|text| Filename::from_untrusted(&text))
}

/// A name in pieces: `filename*0`, `filename*1*`, … (RFC 2231 §3).
fn continued(parameters: &[Parameter]) -> Option<String> {
    let mut whole = Vec::new();
    for number in 0.. {
        let name = format!("filename*{number}");
        let piece = parameters
            .iter()
            .find(|parameter| parameter.name.trim_end_matches('*') == name);
        match piece {
            // A piece that is not encoded is made to look so.
            Some(piece) if !piece.name.ends_with('*') => {
                whole.extend(piece.value.iter().flat_map(|byte| match byte {
                    b'%' => b"%25".to_vec(),
                    byte => vec![*byte],
                }));
            }
            Some(piece) => whole.extend_from_slice(&piece.value),
            None => break,
        }
    }
    let is_encoded = parameters
        .iter()
        .any(|parameter| parameter.name == "filename*0*");
    match (whole.is_empty(), is_encoded) {
        (true, _) => None,
        (false, true) => Some(decode::extended(&whole).1),
        (false, false) => Some(decode::text(&whole, Percent::All)),
    }
}

#[cfg(test)]
mod tests;

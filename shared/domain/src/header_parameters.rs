//! A lenient parser for the parameters of header fields (`; name=value`), which origins and clients often do not write
//! according to RFC 9110 §5.6.6.

/// The maximum number of parameters that are read from one field. Further ones are ignored.
const MAX_PARAMETERS: usize = 32;

/// One parameter of a header field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// The name in lower case, without white space.
    pub name: String,
    /// The value without quotes and escapes, in any charset.
    pub value: Vec<u8>,
}

/// A header field that consists of a value and parameters, such as `text/plain; charset=utf-8`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Parameterized {
    /// The text before the first parameter, trimmed.
    pub value: Vec<u8>,
    /// The parameters, in order.
    pub parameters: Vec<Parameter>,
}

impl Parameterized {
    /// Parses a header field. Never fails: malformed parameters are skipped.
    ///
    /// Beyond the grammar, the parser accepts unquoted values with any characters up to the next `;`, quotes within
    /// quotes, unterminated quotes, a missing `;`, white space around `=`, backslashes of Windows paths, and a field
    /// that begins with a parameter.
    pub fn parse(field: &[u8]) -> Self {
        let mut reader = Reader { rest: field };
        let value = reader.take_value();
        let parameters = std::iter::from_fn(|| reader.next_parameter())
            .take(MAX_PARAMETERS)
            .collect();
        Self { value, parameters }
    }

    /// The value of the first parameter with a name, which must be in lower case.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.parameters
            .iter()
            .find(|parameter| parameter.name == name)
            .map(|parameter| parameter.value.as_slice())
    }
}

/// Splits a list at the commas outside quotes. Empty members are skipped.
pub fn split_list(field: &[u8]) -> Vec<&[u8]> {
    let mut members = Vec::new();
    let (mut begin, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in field.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                members.push(field[begin..at].trim_ascii());
                begin = at + 1;
            }
            _ => {}
        }
    }
    members.push(field[begin..].trim_ascii());
    members.retain(|member| !member.is_empty());
    members
}

/// A parser with the unread rest of a field.
struct Reader<'f> {
    rest: &'f [u8],
}

impl<'f> Reader<'f> {
    /// Takes the text before the first parameter: up to the first `;`, or up to the last white space before the first
    /// `=` if the `;` is missing.
    fn take_value(&mut self) -> Vec<u8> {
        let end = find(self.rest, |byte| matches!(byte, b';' | b'='));
        if self.rest.get(end) != Some(&b'=') {
            return self.take(end).trim_ascii().to_vec();
        }
        let head = &self.rest[..end];
        let name = head.trim_ascii_end();
        let begin = name
            .iter()
            .rposition(u8::is_ascii_whitespace)
            .map_or(0, |blank| blank + 1);
        let value = self.take(begin).trim_ascii();
        value.strip_suffix(b",").unwrap_or(value).to_vec()
    }

    fn next_parameter(&mut self) -> Option<Parameter> {
        loop {
            let begin = find(self.rest, |byte| {
                byte != b';' && !byte.is_ascii_whitespace()
            });
            self.take(begin);
            if self.rest.is_empty() {
                return None;
            }
            let end = find(self.rest, |byte| matches!(byte, b';' | b'='));
            let name = self.take(end);
            // A name without a value is skipped.
            if self.rest.first() == Some(&b'=') {
                self.take(1);
                return Some(Parameter {
                    name: parameter_name(name),
                    value: self.take_parameter_value(),
                });
            }
        }
    }

    fn take_parameter_value(&mut self) -> Vec<u8> {
        let begin = find(self.rest, |byte| !byte.is_ascii_whitespace());
        self.take(begin);
        if let Some(quoted) = self.rest.strip_prefix(b"\"") {
            let (end, next) = end_of_quotes(quoted);
            self.rest = &quoted[next..];
            return unescape(&quoted[..end]);
        }
        let end = find(self.rest, |byte| byte == b';');
        self.take(end).trim_ascii().to_vec()
    }

    fn take(&mut self, count: usize) -> &'f [u8] {
        let (taken, rest) = self.rest.split_at(count);
        self.rest = rest;
        taken
    }
}

/// The index of the first byte that meets a condition, or the length if there is none.
fn find(bytes: &[u8], condition: impl Fn(u8) -> bool) -> usize {
    bytes
        .iter()
        .position(|byte| condition(*byte))
        .unwrap_or(bytes.len())
}

/// The name of a parameter: the last word before its `=`. The `*` of RFC 8187 may be separated by white space.
fn parameter_name(text: &[u8]) -> String {
    let text = text.trim_ascii();
    let (text, mark) = match text.strip_suffix(b"*") {
        Some(text) => (text.trim_ascii_end(), "*"),
        None => (text, ""),
    };
    let word = text
        .rsplit(u8::is_ascii_whitespace)
        .next()
        .unwrap_or_default();
    String::from_utf8_lossy(word).to_ascii_lowercase() + mark
}

/// The end of a quoted text and the start of the rest of the field. `quoted` begins after the opening quote.
fn end_of_quotes(quoted: &[u8]) -> (usize, usize) {
    let mut first = None;
    let mut at = 0;
    while let Some(byte) = quoted.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' if closes(&quoted[at + 1..]) => return (at, at + 1),
            // The quote is part of the text, or is followed by characters without meaning.
            b'"' => first = first.or(Some(at)),
            _ => {}
        }
        at += 1;
    }
    let next_field = |from: usize| from + find(&quoted[from..], |byte| byte == b';');
    match first {
        Some(end) => (end, next_field(end)),
        // Unterminated, unless the last quote closes the text and the backslash before it belongs to a path.
        None => match quoted.strip_suffix(b"\"") {
            Some(open) => (open.len(), quoted.len()),
            None => (next_field(0), next_field(0)),
        },
    }
}

/// Whether a quote before `rest` closes the text: the field ends there, or another parameter follows, with or without a
/// `;`.
fn closes(rest: &[u8]) -> bool {
    let next = rest.trim_ascii_start();
    match next.first() {
        None | Some(b';') => true,
        Some(_) if next.len() == rest.len() => false,
        Some(_) => {
            let end = find(next, |byte| !is_token(byte));
            let after = next[end..].trim_ascii_start();
            end > 0 && after.first() == Some(&b'=')
        }
    }
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// Removes escapes. A backslash only escapes characters that must be escaped in quotes; before a letter it is part of a
/// Windows path, which contains no escapes.
fn unescape(text: &[u8]) -> Vec<u8> {
    let is_path = matches!(text, [drive, b':', b'\\', ..] if drive.is_ascii_alphabetic())
        || matches!(text, [b'\\', b'\\', next, ..] if next.is_ascii_alphanumeric());
    let mut plain = Vec::with_capacity(text.len());
    let mut bytes = text.iter().copied().peekable();
    while let Some(byte) = bytes.next() {
        match bytes.peek() {
            Some(&next) if byte == b'\\' && (next == b'"' || !is_path && is_escapable(next)) => {
                plain.push(next);
                bytes.next();
            }
            _ => plain.push(byte),
        }
    }
    plain
}

/// Whether a character is a separator of RFC 2616 §2.2: clients escape only these on purpose.
fn is_escapable(byte: u8) -> bool {
    b"\"\\()<>@,;:/[]?={} '".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(field: &str) -> (String, Vec<(String, String)>) {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let parsed = Parameterized::parse(field.as_bytes());
        let parameters = parsed.parameters.iter();
        (
            text(&parsed.value),
            parameters
                .map(|parameter| (parameter.name.clone(), text(&parameter.value)))
                .collect(),
        )
    }

    #[test]
    fn parameters_are_parsed_even_if_malformed() {
        for (field, value, parameters) in [
            ("text/plain", "text/plain", &[][..]),
            (
                "text/plain;charset=UTF-8",
                "text/plain",
                &[("charset", "UTF-8")],
            ),
            ("a ; B = \"x;y\" ; c", "a", &[("b", "x;y")]),
            (
                "form-data; boundary=----=_Part=",
                "form-data",
                &[("boundary", "----=_Part=")],
            ),
            ("filename=x.png", "", &[("filename", "x.png")]),
            (
                "attachment filename=x y.png",
                "attachment",
                &[("filename", "x y.png")],
            ),
            ("attachment, filename=x", "attachment", &[("filename", "x")]),
            ("a; filename * = x", "a", &[("filename*", "x")]),
            // `name=` within another value is not a parameter.
            (
                "f; filename=\"x; name=y\"; name=\"z\"",
                "f",
                &[("filename", "x; name=y"), ("name", "z")],
            ),
            (
                "f; filename=name=y; name=z",
                "f",
                &[("filename", "name=y"), ("name", "z")],
            ),
            // Quotes.
            (
                "f; a=\"say \"hi\" to\"; b=c",
                "f",
                &[("a", "say \"hi\" to"), ("b", "c")],
            ),
            ("f; a=\"x\" b=\"y\"", "f", &[("a", "x"), ("b", "y")]),
            ("f; a=\"x\"junk; b=y", "f", &[("a", "x"), ("b", "y")]),
            ("f; a=\"x; b=y", "f", &[("a", "x"), ("b", "y")]),
            ("f; a=\"C:\\dir\\\"", "f", &[("a", "C:\\dir\\")]),
            ("f; a=\"\\\"\\\\\"", "f", &[("a", "\"\\")]),
            (
                "f; a=\"C:\\new\\(1).txt\"",
                "f",
                &[("a", "C:\\new\\(1).txt")],
            ),
            (";;;", "", &[]),
            ("=", "", &[("", "")]),
        ] {
            let expected: Vec<_> = parameters
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect();
            assert_eq!(read(field), (value.to_owned(), expected), "{field}");
        }
    }

    #[test]
    fn lists_are_split_outside_quotes() {
        for (field, expected) in [
            ("a, b;c=\"d,e\" ,, f", &["a", "b;c=\"d,e\"", "f"][..]),
            ("\"a\\\",b\", c", &["\"a\\\",b\"", "c"]),
            ("a=\"b, c", &["a=\"b, c"]),
            (" , ", &[]),
        ] {
            let expected: Vec<&[u8]> = expected.iter().map(|text| text.as_bytes()).collect();
            assert_eq!(split_list(field.as_bytes()), expected, "{field}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_field_is_parsed_within_the_limit_on_parameters(field: Vec<u8>) {
            let parsed = Parameterized::parse(&field);
            proptest::prop_assert!(parsed.parameters.len() <= MAX_PARAMETERS);
        }

        #[test]
        fn a_quoted_value_is_preserved(value in "[ -~]{0,40}", before in "[ -~]{0,40}") {
            let escape = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
            let field = format!("f; a=\"{}\"; b=\"{}\"", escape(&before), escape(&value));
            let parsed = Parameterized::parse(field.as_bytes());
            // Escaped backslashes in a value that looks like a Windows path are not unescaped.
            if !value.contains('\\') && !before.contains('\\') {
                proptest::prop_assert_eq!(parsed.get("b"), Some(value.as_bytes()), "{}", field);
            }
        }
    }
}

//! Comma-separated values (RFC 4180), as spreadsheet programs write and read them.

/// A record and the number of the line that it begins in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) line: usize,
    pub(super) fields: Vec<String>,
}

/// Splits a text into records. Empty lines are left out. Fails with the number of the line in which a quote begins
/// that does not end.
pub(super) fn parse(text: &str, delimiter: char) -> Result<Vec<Record>, usize> {
    let mut records = Vec::new();
    let mut fields = Vec::new();
    let mut field = String::new();
    let (mut line, mut start) = (1, 1);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '"' if field.is_empty() => {
                let quoted_at = line;
                loop {
                    match characters.next().ok_or(quoted_at)? {
                        '"' if characters.next_if_eq(&'"').is_none() => break,
                        '\n' => {
                            line += 1;
                            field.push('\n');
                        }
                        c => field.push(c),
                    }
                }
            }
            '\n' => {
                finish(&mut records, &mut fields, &mut field, start);
                line += 1;
                start = line;
            }
            '\r' if characters.peek() == Some(&'\n') => {}
            c if c == delimiter => fields.push(std::mem::take(&mut field)),
            c => field.push(c),
        }
    }
    finish(&mut records, &mut fields, &mut field, start);
    Ok(records)
}

fn finish(records: &mut Vec<Record>, fields: &mut Vec<String>, field: &mut String, line: usize) {
    fields.push(std::mem::take(field));
    let fields = std::mem::take(fields);
    if fields.iter().any(|field| !field.trim().is_empty()) {
        records.push(Record { line, fields });
    }
}

/// Writes a record, with a line break.
pub(super) fn line_of(fields: &[&str]) -> String {
    let quoted: Vec<String> = fields.iter().map(|field| quote(field)).collect();
    quoted.join(",") + "\r\n"
}

fn quote(field: &str) -> String {
    if field.contains(['"', ',', '\n', '\r']) || field.starts_with(' ') || field.ends_with(' ') {
        format!("\"{}\"", field.replace('"', "\"\""))
    } else {
        field.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(text: &str) -> Vec<Vec<String>> {
        let records = parse(text, ',').unwrap();
        records.into_iter().map(|record| record.fields).collect()
    }

    #[test]
    fn records_are_split_as_in_rfc_4180() {
        assert_eq!(fields("a,b\r\nc,\r\n"), [["a", "b"], ["c", ""]]);
        assert_eq!(fields("\"x, \"\"y\"\"\r\nz\",2"), [["x, \"y\"\r\nz", "2"]]);
        assert_eq!(fields("a\n\n , \nb"), [["a"], ["b"]]);
        assert_eq!(parse("a\n\"b\nc", ','), Err(2));
        let lines: Vec<usize> = parse("\"a\nb\"\nc", ',')
            .unwrap()
            .iter()
            .map(|r| r.line)
            .collect();
        assert_eq!(lines, [1, 3]);
    }

    #[test]
    fn written_records_are_read_again() {
        let written = ["plain", "a,b", "say \"yes\"", "two\nlines", " spaces ", ""];
        assert_eq!(fields(&line_of(&written)), [written]);
    }
}

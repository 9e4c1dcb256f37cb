//! The imports that a command line or a list asks for.

use std::{fs, io::Read as _, path::Path};

use anyhow::Context as _;
use chrono::DateTime;
use media_domain::job::{IfExists, ImportArguments, arguments::RawImportArguments};
use uuid::Uuid;

use super::{
    columns::{LIST_COLUMNS, REPORT_COLUMNS},
    csv::{self, Record},
};
use crate::{client::NewImport, command_error::usage, filters::absolute_time};

/// The most mistakes that are reported.
const MAX_REPORTED_MISTAKES: usize = 20;

/// An import and its place in the list.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The number of the line in the list, or of the URL on the command line.
    pub(crate) line: usize,
    /// The import.
    pub(crate) import: NewImport,
    /// Whether the user gave the key, or it was generated.
    pub(crate) has_own_key: bool,
    /// The job of an earlier run, which may have gone on since.
    pub(crate) earlier_job: Option<String>,
}

/// The values that rows have unless the list says otherwise.
#[derive(Clone, Debug, Default)]
pub(super) struct Defaults {
    pub(super) raw: RawImportArguments,
    pub(super) max_retries: Option<i64>,
    pub(super) priority: Option<i64>,
    pub(super) unicity: Option<String>,
    pub(super) scheduled_at: Option<String>,
    pub(super) project_id: Option<String>,
}

/// The rows that can be imported, and the mistakes in the others: a sentence for each.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) valid: Vec<Row>,
    pub(super) mistakes: Vec<String>,
}

impl Rows {
    /// The rows of URLs on the command line.
    pub(super) fn of_urls(urls: &[String], defaults: &Defaults) -> Self {
        let mut rows = Self::default();
        for (n, url) in urls.iter().enumerate() {
            let mut values = defaults.clone();
            values.raw.url.clone_from(url);
            rows.add(n + 1, url, values);
        }
        rows
    }

    /// The rows of a list: a URL per line, or CSV with a header.
    pub(super) fn of_list(text: &str, defaults: &Defaults) -> anyhow::Result<Self> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let header = text.lines().find(|line| !line.trim().is_empty());
        match header.and_then(delimiter_of) {
            Some(delimiter) => Self::of_csv(text, delimiter, defaults),
            None => Ok(Self::of_lines(text, defaults)),
        }
    }

    fn of_lines(text: &str, defaults: &Defaults) -> Self {
        let mut rows = Self::default();
        for (n, line) in text.lines().enumerate() {
            let url = line.trim();
            if !url.is_empty() && !url.starts_with('#') {
                let mut values = defaults.clone();
                url.clone_into(&mut values.raw.url);
                rows.add(n + 1, url, values);
            }
        }
        rows
    }

    fn of_csv(text: &str, delimiter: char, defaults: &Defaults) -> anyhow::Result<Self> {
        let records = csv::parse(text, delimiter).map_err(|line| {
            usage(format!(
                "line {line} of the list has a quote that does not end"
            ))
        })?;
        let mut records = records.into_iter();
        let header = records.next().map(|header| header.fields);
        let header = check_header(&header.unwrap_or_default())?;
        let mut rows = Self::default();
        for Record { line, fields } in records {
            if fields.len() > header.len() {
                let sentence = format!(
                    "line {line}: has {} values for {} columns; quote values that contain the delimiter",
                    fields.len(),
                    header.len()
                );
                rows.mistakes.push(sentence);
                continue;
            }
            let mut values = defaults.clone();
            let cells = header.iter().zip(&fields);
            let read = cells
                .filter(|(_, cell)| !cell.trim().is_empty())
                .try_for_each(|(column, cell)| values.set(column, cell.trim()));
            match read {
                Ok(()) => {
                    let url = values.raw.url.clone();
                    rows.add(line, &url, values);
                }
                Err(reason) => rows.mistakes.push(format!("line {line}: {reason}")),
            }
        }
        Ok(rows)
    }

    fn add(&mut self, line: usize, url: &str, mut values: Defaults) {
        let has_own_key = values.raw.key.is_some();
        // A generated key keeps rows without a key from replacing each other.
        let key = values.raw.key.take();
        values.raw.key = Some(key.unwrap_or_else(|| Uuid::now_v7().to_string()));
        match ImportArguments::check(values.raw) {
            Ok(arguments) => self.valid.push(Row {
                line,
                import: NewImport {
                    arguments,
                    url: url.to_owned(),
                    max_retries: values.max_retries,
                    priority: values.priority,
                    unicity: values.unicity,
                    scheduled_at: values.scheduled_at,
                    project_id: values.project_id,
                },
                has_own_key,
                earlier_job: None,
            }),
            Err(errors) => {
                let errors = errors.iter().map(ToString::to_string);
                let errors: Vec<String> = errors.collect();
                self.mistakes
                    .push(format!("line {line}: {}", errors.join("; ")));
            }
        }
    }

    /// Describes the mistakes in a few lines.
    pub(super) fn describe_mistakes(&self) -> String {
        let shown = self.mistakes.iter().take(MAX_REPORTED_MISTAKES);
        let mut text = shown.fold(String::new(), |text, mistake| text + "\n  " + mistake);
        if self.mistakes.len() > MAX_REPORTED_MISTAKES {
            let more = self.mistakes.len() - MAX_REPORTED_MISTAKES;
            text = text + "\n  and " + &more.to_string() + " more";
        }
        text
    }
}

impl Defaults {
    /// Sets a value from the cell of a column.
    fn set(&mut self, column: &str, cell: &str) -> Result<(), String> {
        let number = || -> Result<i64, String> {
            cell.parse()
                .map_err(|_| format!("`{column}` must be a whole number"))
        };
        let text = || Some(cell.to_owned());
        match column {
            "url" => cell.clone_into(&mut self.raw.url),
            "resource" => cell.clone_into(&mut self.raw.resource),
            "key" => self.raw.key = text(),
            "filename" => self.raw.filename = text(),
            "public" => self.raw.public = Some(parse_bool(cell)?),
            "sha256" => self.raw.sha256 = text(),
            "md5" => self.raw.md5 = text(),
            "size" => self.raw.size = Some(number()?),
            "meta" => {
                let meta = serde_json::from_str(cell);
                self.raw.meta = Some(meta.map_err(|_| "`meta` must be a JSON object".to_owned())?);
            }
            "expires_at" => {
                let time = DateTime::parse_from_rfc3339(cell);
                let time = time.map_err(|_| {
                    "`expires_at` must be a time such as 2030-01-31T12:00:00Z".to_owned()
                })?;
                self.raw.expires_at = Some(time.to_utc());
            }
            "if_exists" => self.raw.if_exists = Some(parse_if_exists(cell)?),
            "max_bytes" => self.raw.max_bytes = Some(number()?),
            "headers" => {
                let headers = serde_json::from_str(cell);
                self.raw.headers = Some(
                    headers.map_err(|_| "`headers` must be a JSON object of texts".to_owned())?,
                );
            }
            "accept_types" => {
                let types = cell.split([',', ';', ' ']).filter(|text| !text.is_empty());
                self.raw.accept_types = Some(types.map(str::to_owned).collect());
            }
            "priority" => self.priority = Some(in_range(number()?, -100, 100, column)?),
            "max_retries" => self.max_retries = Some(in_range(number()?, 0, 100, column)?),
            "unicity" => self.unicity = text(),
            "scheduled_at" => {
                self.scheduled_at = Some(absolute_time(cell, chrono::Utc::now())?);
            }
            "project_id" => self.project_id = text(),
            // A column of a report.
            _ => {}
        }
        Ok(())
    }
}

fn in_range(number: i64, min: i64, max: i64, column: &str) -> Result<i64, String> {
    if (min..=max).contains(&number) {
        Ok(number)
    } else {
        Err(format!("`{column}` must be {min} to {max}"))
    }
}

/// Parses a truth value as spreadsheet programs write it.
fn parse_bool(cell: &str) -> Result<bool, String> {
    match cell.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Ok(true),
        "false" | "0" | "no" => Ok(false),
        _ => Err("`public` must be true or false".to_owned()),
    }
}

fn parse_if_exists(cell: &str) -> Result<IfExists, String> {
    serde_json::from_value(cell.into())
        .map_err(|_| "`if_exists` must be replace, fail, skip or refresh".to_owned())
}

/// The delimiter of CSV with this header; none if the line is a URL.
fn delimiter_of(header: &str) -> Option<char> {
    if header.contains("://") {
        return None;
    }
    let has_url = |delimiter: &char| {
        let mut names = header.split(*delimiter).map(normalized);
        names.any(|name| name == "url")
    };
    [',', ';', '\t'].into_iter().find(has_url)
}

fn normalized(name: &str) -> String {
    name.trim().trim_matches('"').to_ascii_lowercase()
}

/// Checks the names of the columns.
fn check_header(header: &[String]) -> anyhow::Result<Vec<String>> {
    let names: Vec<String> = header.iter().map(|name| normalized(name)).collect();
    for (n, name) in names.iter().enumerate() {
        let is_known =
            LIST_COLUMNS.contains(&name.as_str()) || REPORT_COLUMNS.contains(&name.as_str());
        // Spreadsheet programs write empty columns behind the last one.
        if !is_known && !name.is_empty() {
            return Err(usage(format!(
                "the list has a column `{name}`, which is not an argument of an import; the columns are {}",
                LIST_COLUMNS.join(", ")
            )));
        }
        if !name.is_empty() && names[..n].contains(name) {
            return Err(usage(format!("the list has two columns `{name}`")));
        }
    }
    Ok(names)
}

/// Reads a list from a file, or from standard input if its name is `-`.
pub(super) fn read_list(file: &Path) -> anyhow::Result<String> {
    let (bytes, name) = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin()
            .read_to_end(&mut bytes)
            .context("standard input cannot be read")?;
        (bytes, "standard input".to_owned())
    } else {
        let name = file.display().to_string();
        let bytes = fs::read(file)
            .map_err(|error| usage(format!("the list {name} cannot be read: {error}")))?;
        (bytes, name)
    };
    String::from_utf8(bytes).map_err(|_| {
        usage(format!(
            "the list in {name} is not UTF-8; save it as UTF-8 text or CSV"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn defaults() -> Defaults {
        let mut defaults = Defaults::default();
        "r".clone_into(&mut defaults.raw.resource);
        defaults
    }

    fn rows(text: &str) -> Rows {
        Rows::of_list(text, &defaults()).unwrap()
    }

    #[test]
    fn a_list_of_urls_may_have_comments_and_empty_lines() {
        let rows = rows("# pictures\n\n http://a.test/1,2.jpg\r\nhttp://a.test/b\n");
        let lines: Vec<_> = rows
            .valid
            .iter()
            .map(|row| (row.line, row.import.url.as_str()))
            .collect();
        assert_eq!(
            lines,
            [(3, "http://a.test/1,2.jpg"), (4, "http://a.test/b")]
        );
        assert!(rows.mistakes.is_empty() && !rows.valid[0].has_own_key);
    }

    #[test]
    fn csv_has_arguments_in_its_columns() {
        for delimiter in [",", ";", "\t"] {
            let text = "\u{feff}\"URL\",Key,public,size,priority,status,\r\n\
                        http://a.test/1,k1,TRUE,17,5,failed,\r\nhttp://a.test/2,,,,,,\r\n";
            let rows = rows(&text.replace(',', delimiter));
            assert_eq!(rows.mistakes, Vec::<String>::new());
            let first = &rows.valid[0];
            assert_eq!(first.import.arguments.path.key(), Some("k1"));
            assert_eq!(first.import.arguments.size, Some(17));
            assert_eq!(first.import.priority, Some(5));
            assert!(first.import.arguments.public && first.has_own_key);
            assert!(!rows.valid[1].import.arguments.public && !rows.valid[1].has_own_key);
        }
    }

    #[test]
    fn mistakes_name_their_lines() {
        let rows =
            rows("url,size\nhttp://a.test/1,many\nftp://a.test/2,\nhttp://a.test/3,3,4\n,5\n");
        assert!(rows.valid.is_empty());
        let beginnings = [
            "line 2: `size` must be a whole number",
            "line 3: `url` must start with",
            "line 4: has 3 values for 2 columns",
            "line 5: `url` is not a URL",
        ];
        for (mistake, beginning) in rows.mistakes.iter().zip(beginnings) {
            assert!(mistake.starts_with(beginning), "{mistake}");
        }
        assert_eq!(rows.mistakes.len(), beginnings.len());
        for bad in ["url,color\n", "url,url\n"] {
            assert!(Rows::of_list(bad, &defaults()).is_err(), "{bad}");
        }
    }
}

//! The output of commands: tables and sentences for people, JSON for programs.

use std::io::{self, IsTerminal as _, Write as _};

use bytesize::ByteSize;
use chrono::{DateTime, Utc};
use clap::Args;
use console::{Term, measure_text_width, truncate_str};
use serde::Serialize;

use crate::client::names;

/// The least width of a column that is shortened; narrower ones are left out.
const MIN_COLUMN_WIDTH: usize = 8;
/// The width of a terminal that does not tell its own.
const DEFAULT_WIDTH: usize = 80;
/// The space between two columns.
const GAP: &str = "  ";

/// The form of the output of a list.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct ListOutputArguments {
    /// Print a JSON object per line, as the API has it
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Print only the ids of jobs or the paths of media, one per line
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// The form of the output of an action.
#[derive(Args, Clone, Copy, Debug)]
pub(crate) struct OutputArguments {
    /// Print a JSON object per line, as the API has it
    #[arg(long, conflicts_with = "quiet")]
    pub(crate) json: bool,
    /// Print nothing but failures
    #[arg(long, short)]
    pub(crate) quiet: bool,
}

/// The form of the output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Tables and sentences.
    Text,
    /// A JSON object per line.
    Json,
    /// Names alone.
    Quiet,
}

impl Format {
    fn new(json: bool, quiet: bool) -> Self {
        match (json, quiet) {
            (true, _) => Self::Json,
            (_, true) => Self::Quiet,
            _ => Self::Text,
        }
    }
}

impl From<OutputArguments> for Format {
    fn from(arguments: OutputArguments) -> Self {
        Self::new(arguments.json, arguments.quiet)
    }
}

impl From<ListOutputArguments> for Format {
    fn from(arguments: ListOutputArguments) -> Self {
        Self::new(arguments.json, arguments.quiet)
    }
}

/// Prints a line on standard output. Ends the program if nothing reads it any more, as `head` does.
pub(crate) fn print_line(line: &str) {
    if writeln!(io::stdout(), "{line}").is_err() {
        std::process::exit(0);
    }
}

/// Prints a JSON object as one line.
pub(crate) fn print_json(value: &impl Serialize) {
    // Fails only for maps whose keys are no text, which the API does not have.
    let json = serde_json::to_string(value).unwrap_or_default();
    print_line(&names::escaped(&json));
}

/// Rows under a header. Columns without a value are left out.
pub(crate) struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// Creates an empty table.
    pub(crate) fn new(headers: &[&'static str]) -> Self {
        Self {
            headers: headers.to_vec(),
            rows: Vec::new(),
        }
    }

    /// Adds a row with a value for each column.
    pub(crate) fn add(&mut self, row: Vec<String>) {
        self.rows.push(row);
    }

    /// Prints the table: on a terminal as wide as that, elsewhere with all values in full.
    pub(crate) fn print(&self) {
        let width = if io::stdout().is_terminal() {
            let size = Term::stdout().size_checked();
            size.map_or(DEFAULT_WIDTH, |(_, columns)| usize::from(columns))
        } else {
            usize::MAX
        };
        for line in self.lines(width) {
            print_line(&line);
        }
    }

    /// The lines of the table, none wider than `width` unless the first column is.
    fn lines(&self, width: usize) -> Vec<String> {
        let columns = self.columns(width);
        let headers = self.headers.iter().map(|header| (*header).to_owned());
        let headers: Vec<String> = headers.collect();
        let rows = std::iter::once(&headers).chain(&self.rows);
        rows.map(|row| line_of(row, &columns)).collect()
    }

    /// The positions and widths of the columns that fit.
    fn columns(&self, width: usize) -> Vec<(usize, usize)> {
        let mut columns: Vec<(usize, usize)> = Vec::new();
        let mut used = 0;
        for (position, header) in self.headers.iter().enumerate() {
            let values = self
                .rows
                .iter()
                .map(|row| measure_text_width(&row[position]));
            let widest = values.max().unwrap_or_default();
            let gap = if columns.is_empty() { 0 } else { GAP.len() };
            let left = width.saturating_sub(used + gap);
            let wanted = widest.max(header.len());
            let is_shown = columns.is_empty() || wanted <= left || left >= MIN_COLUMN_WIDTH;
            if (widest == 0 && !columns.is_empty()) || !is_shown {
                continue;
            }
            let own = if columns.is_empty() {
                wanted
            } else {
                wanted.min(left)
            };
            columns.push((position, own));
            used += gap + own;
        }
        columns
    }
}

fn line_of(row: &[String], columns: &[(usize, usize)]) -> String {
    let mut line = String::new();
    for (n, (position, width)) in columns.iter().enumerate() {
        if n > 0 {
            line.push_str(GAP);
        }
        let cell = truncate_str(&row[*position], *width, "…");
        line.push_str(&cell);
        let missing = width.saturating_sub(measure_text_width(&cell));
        line.push_str(&" ".repeat(missing));
    }
    line.trim_end().to_owned()
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    ByteSize::b(bytes).display().iec().to_string()
}

/// The age of a time in RFC 3339, such as `3m ago`; a time to come is `in 3m`.
pub(crate) fn age(time: &str, now: DateTime<Utc>) -> String {
    let Ok(time) = DateTime::parse_from_rfc3339(time) else {
        return String::new();
    };
    let seconds = (now - time.with_timezone(&Utc)).num_seconds();
    let span = span(seconds.unsigned_abs());
    if seconds < 0 {
        format!("in {span}")
    } else {
        format!("{span} ago")
    }
}

/// A number of seconds in its largest unit.
fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["ID", "EMPTY", "NAME"]);
        for (id, name) in [("1", "a long name of a file.jpg"), ("22", "")] {
            table.add(vec![id.to_owned(), String::new(), name.to_owned()]);
        }
        table
    }

    #[test]
    fn columns_without_values_are_left_out() {
        let lines = table().lines(usize::MAX);
        assert_eq!(lines, ["ID  NAME", "1   a long name of a file.jpg", "22"]);
    }

    #[test]
    fn a_narrow_table_is_shortened() {
        assert_eq!(table().lines(14)[1], "1   a long na…");
        assert_eq!(table().lines(10)[1], "1");
    }

    #[test]
    fn ages_have_one_unit() {
        let now = DateTime::parse_from_rfc3339("2026-11-30T12:00:00Z").unwrap();
        let now = now.with_timezone(&Utc);
        assert_eq!(age("2026-11-30T11:59:30Z", now), "30s ago");
        assert_eq!(age("2026-11-30T11:00:00.5Z", now), "59m ago");
        assert_eq!(age("2026-11-30T14:30:00Z", now), "in 2h");
        assert_eq!(age("2026-11-20T12:00:00Z", now), "10d ago");
        assert_eq!(age("", now), "");
    }
}

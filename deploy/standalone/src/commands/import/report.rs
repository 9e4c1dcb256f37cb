//! The report of an import: CSV with a record for each row of the list, by which an interrupted import is continued.

use std::{
    collections::{HashMap, HashSet},
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use media_domain::media::MediaPath;

use super::{
    columns::REPORT_COLUMNS,
    csv,
    rows::Row,
    runner::{Ended, Outcome},
};
use crate::command_error::usage;

/// The position of the URL in a record.
const URL: usize = 1;
/// The position of the resource in a record.
const RESOURCE: usize = 2;
/// The position of the key in a record.
const KEY: usize = 3;
/// The position of the job's id in a record.
const JOB: usize = 4;
/// The position of the status in a record.
const STATUS: usize = 5;

/// A report that is being written.
pub(super) struct Report {
    path: PathBuf,
    file: File,
}

/// The records of an earlier run by URL and resource.
#[derive(Default)]
pub(super) struct EarlierRun(HashMap<(String, String), Vec<Vec<String>>>);

impl EarlierRun {
    /// Reads a report. Empty if the file does not exist.
    pub(super) fn read(path: &Path) -> anyhow::Result<Self> {
        let mut by_row: HashMap<_, Vec<_>> = HashMap::new();
        for fields in read_records(path)? {
            let row = (fields[URL].clone(), fields[RESOURCE].clone());
            by_row.entry(row).or_default().push(fields);
        }
        Ok(Self(by_row))
    }

    /// Removes the rows that were imported. The others keep the keys and the jobs of the earlier run. Returns the
    /// records of all, so that none is lost if this run ends early.
    pub(super) fn continue_with(&mut self, rows: &mut Vec<Row>) -> Vec<Vec<String>> {
        let mut records = Vec::new();
        rows.retain_mut(|row| {
            let Some(record) = self.take(row) else {
                return true;
            };
            let was_imported = record[STATUS] == "succeeded";
            if let Ok(path) = MediaPath::new(&record[RESOURCE], Some(&record[KEY])) {
                row.import.arguments.path = path;
            }
            row.earlier_job = Some(record[JOB].clone()).filter(|id| !id.is_empty());
            records.push(record);
            !was_imported
        });
        records
    }

    fn take(&mut self, row: &Row) -> Option<Vec<String>> {
        let path = &row.import.arguments.path;
        let id = (row.import.url.clone(), path.resource().to_owned());
        let records = self.0.get_mut(&id)?;
        let is_same =
            |record: &Vec<String>| !row.has_own_key || path.key() == Some(record[KEY].as_str());
        let position = records.iter().position(is_same)?;
        Some(records.remove(position))
    }
}

impl Report {
    /// Starts a report with the records of an earlier run. A report in the file is replaced at once.
    pub(super) fn start(path: &Path, earlier: &[Vec<String>]) -> anyhow::Result<Self> {
        let open = || -> std::io::Result<File> {
            replace(path, earlier)?;
            File::options().append(true).open(path)
        };
        let file = open().map_err(|error| {
            usage(format!(
                "the report {} cannot be written: {error}",
                path.display()
            ))
        })?;
        let path = path.to_owned();
        Ok(Self { path, file })
    }

    /// Removes the records of the earlier run that have newer ones.
    pub(super) fn finish(&self) -> anyhow::Result<()> {
        let records = read_records(&self.path)?;
        replace(&self.path, &records)
            .with_context(|| format!("the report {} cannot be written", self.path.display()))
    }

    /// Adds the record of a row.
    pub(super) fn add(&mut self, row: &Row, ended: &Ended) -> anyhow::Result<()> {
        let path = &row.import.arguments.path;
        let (status, error, detail) = match &ended.outcome {
            Outcome::Imported(_) => ("succeeded", "", ""),
            Outcome::Failed { code, detail } => ("failed", code.as_str(), detail.as_str()),
            Outcome::Cancelled => ("cancelled", "", ""),
            Outcome::Unfinished => ("unfinished", "", ""),
            Outcome::NotRequested => ("not_requested", "", ""),
        };
        let attribute = |name: &str| match &ended.outcome {
            Outcome::Imported(media) => match &media["attributes"][name] {
                serde_json::Value::String(text) => text.clone(),
                serde_json::Value::Null => String::new(),
                other => other.to_string(),
            },
            _ => String::new(),
        };
        let line = csv::line_of(&[
            &row.line.to_string(),
            &row.import.url,
            path.resource(),
            path.key().unwrap_or_default(),
            ended.job_id.as_deref().unwrap_or_default(),
            status,
            error,
            detail,
            &attribute("size"),
            &attribute("sha256"),
            &attribute("mime_type"),
        ]);
        let written = self.file.write_all(line.as_bytes());
        written.with_context(|| format!("the report {} cannot be written", self.path.display()))
    }
}

/// The records of a report, of each row the last. None if the file does not exist.
fn read_records(path: &Path) -> anyhow::Result<Vec<Vec<String>>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => {
            return Err(usage(format!(
                "the report {} cannot be read: {error}",
                path.display()
            )));
        }
    };
    let mut records = csv::parse(&text, ',').unwrap_or_default().into_iter();
    let header = records.next().map(|record| record.fields);
    if !text.is_empty() && header.is_none_or(|header| header != REPORT_COLUMNS) {
        return Err(usage(format!(
            "{} exists and is not a report of imports; choose another file for --report",
            path.display()
        )));
    }
    let whole = records.map(|record| record.fields);
    let whole: Vec<_> = whole
        .filter(|fields| fields.len() == REPORT_COLUMNS.len())
        .collect();
    let mut seen = HashSet::new();
    let mut last: Vec<_> = whole
        .into_iter()
        .rev()
        .filter(|fields| {
            seen.insert((
                fields[URL].clone(),
                fields[RESOURCE].clone(),
                fields[KEY].clone(),
            ))
        })
        .collect();
    last.reverse();
    Ok(last)
}

/// Writes a report with these records to a new file, which then replaces the one at the path.
fn replace(path: &Path, records: &[Vec<String>]) -> std::io::Result<()> {
    let mut text = csv::line_of(&REPORT_COLUMNS);
    for record in records {
        let fields: Vec<&str> = record.iter().map(String::as_str).collect();
        text.push_str(&csv::line_of(&fields));
    }
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = path.with_file_name(name);
    fs::write(&new, &text)?;
    fs::rename(&new, path)
}

//! Prints a list of the API: a table for people, a line for each item for programs.

use chrono::{DateTime, Utc};

use super::list_arguments::{ListArguments, report_more};
use crate::{
    client::Resource,
    filters::Filter,
    output::{Format, Table, print_json, print_line},
    target::Target,
};

/// A list of the API, and the form of its items.
pub(super) struct List {
    /// The list: `jobs` or `medias`.
    pub(super) name: &'static str,
    /// The columns of the table.
    pub(super) columns: &'static [&'static str],
    /// The row of an item, at a time.
    pub(super) row: fn(&Resource, DateTime<Utc>) -> Vec<String>,
    /// The text by which other commands take an item.
    pub(super) reference: fn(&Resource) -> String,
}

impl List {
    /// Reads the items that match the filters and prints them, or their number.
    pub(super) async fn print(
        &self,
        target: &Target,
        arguments: &ListArguments,
        filters: &[Filter],
        format: Format,
    ) -> anyhow::Result<()> {
        let query = arguments.query(filters, format == Format::Text);
        if arguments.count {
            print_line(&target.client.count(self.name, &query).await?.to_string());
            return Ok(());
        }
        let mut table = Table::new(self.columns);
        let now = Utc::now();
        let write = |item: Resource| match format {
            Format::Json => print_json(&item),
            Format::Quiet => print_line(&(self.reference)(&item)),
            Format::Text => table.add((self.row)(&item, now)),
        };
        let has_more = target.client.list(self.name, &query, write).await?;
        if format == Format::Text {
            table.print();
            if has_more {
                report_more(query.limit);
            }
        }
        Ok(())
    }
}

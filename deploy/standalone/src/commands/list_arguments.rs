//! The arguments of commands that list.

use clap::Args;

use crate::{client::ListQuery, filters::Filter};

/// The number of items that people are shown unless they ask for more.
const DEFAULT_LIMIT: usize = 50;

/// The order and the length of a list.
#[derive(Args, Clone, Debug)]
pub(crate) struct ListArguments {
    /// The order: fields separated by commas, a minus for descending [default: newest first]
    #[arg(
        long,
        value_name = "FIELDS",
        default_value = "-created_at",
        hide_default_value = true,
        allow_hyphen_values = true
    )]
    pub(crate) sort: String,
    /// The most items to show; without it, 50, or all with --json or --quiet
    #[arg(long, short = 'n', value_name = "N")]
    pub(crate) limit: Option<usize>,
    /// Print the number of items alone
    #[arg(long)]
    pub(crate) count: bool,
}

impl ListArguments {
    /// The query of the list.
    pub(crate) fn query(&self, filters: &[Filter], is_for_people: bool) -> ListQuery {
        let mut parameters: Vec<_> = filters.iter().map(Filter::parameter).collect();
        parameters.push(("sort".to_owned(), self.sort.clone()));
        let default = if is_for_people {
            DEFAULT_LIMIT
        } else {
            usize::MAX
        };
        ListQuery {
            parameters,
            limit: self.limit.unwrap_or(default),
        }
    }
}

/// Tells people on standard error that a list goes on.
pub(crate) fn report_more(limit: usize) {
    eprintln!("These are the first {limit}; --limit shows more, --count counts them all.");
}

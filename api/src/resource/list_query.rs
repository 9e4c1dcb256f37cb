//! The query of a list: filter, sort, page, fields, include.

use media_database::pagination::{Groups, ListRequest, PageSize, PageStart, SortKey};
use media_domain::permissions::ReadScope;
use poem::Request;
use sea_orm::Condition;

use super::{
    Column, Resource,
    cursor::{self, SortField},
    field,
    filter::{Filter, take_filter},
    query_string::{QueryString, invalid, unknown},
    view::View,
};
use crate::jsonapi::{ApiError, ErrorCode};

/// The most values that are bound to a statement; SQLite's limit is 32,766. A list over several projects
/// repeats its filter for each.
const MAX_BOUND: usize = 30_000;
/// The most values of a statement beside the lists of its filter.
const OTHER_VALUES: usize = 60;

/// The list that a client asks for.
pub(crate) struct ListQuery<R: Resource> {
    filter: Condition,
    /// The part of the filter that an index serves in the order of its rows.
    groups: Option<Groups<Column<R>>>,
    /// The number of values in the filter's lists.
    values: usize,
    /// The fields to sort by, `id` last.
    pub(crate) sort: Vec<SortField<R>>,
    start: PageStart,
    /// The page's number, if the client gave one.
    pub(crate) number: Option<u64>,
    /// The number of items.
    pub(crate) size: PageSize,
    /// Whether to count.
    pub(crate) count: bool,
    /// The fields and relationships to show.
    pub(crate) view: View<R>,
    /// The query without its page, for links.
    pub(crate) rest: String,
}

impl<R: Resource> ListQuery<R> {
    /// Reads the query of a request for a list.
    pub(crate) fn from_request(request: &Request) -> Result<Self, ApiError> {
        let mut query = QueryString::from_request(request);
        let rest = rest_of(request);
        let Filter {
            condition: filter,
            groups,
            values,
        } = take_filter::<R>(&mut query)?;
        let sort = take_sort::<R>(&mut query)?;
        let size = take_size(&mut query)?;
        let number = take_number(&mut query)?;
        let start = match (number, query.take("page[after]")?) {
            (Some(_), Some(_)) => {
                let detail = "cannot be used together with page[number]";
                return Err(invalid("page[after]", detail));
            }
            (number, None) => PageStart::Number(number.unwrap_or(1)),
            (None, Some(text)) => PageStart::After(cursor::decode::<R>(&sort, &text)?),
        };
        let count = match query.take("count")?.as_deref() {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(invalid("count", "must be true or false")),
        };
        let view = View::take(&mut query)?;
        query.finish()?;
        let number = match &start {
            PageStart::Number(number) => Some(*number),
            PageStart::After(_) => None,
        };
        Ok(Self {
            filter,
            groups,
            values,
            sort,
            start,
            number,
            size,
            count,
            view,
            rest,
        })
    }

    /// The rows to read, within what the caller may read.
    pub(crate) fn request(&self, sight: &ReadScope) -> Result<ListRequest<Column<R>>, ApiError> {
        if let ReadScope::Projects(projects) = sight
            && projects.len() * (self.values + OTHER_VALUES) > MAX_BOUND
        {
            return Err(ApiError::new(
                ErrorCode::InvalidValue,
                format!(
                    "the lists of the filters have {} values, too many for a token of {} projects; ask for fewer at a time",
                    self.values,
                    projects.len()
                ),
            ));
        }
        let (filter, groups) = match sight {
            ReadScope::All => (self.filter.clone(), self.groups.clone()),
            ReadScope::Projects(projects) => {
                let asked = self.groups.as_ref().map(Groups::condition);
                let own = Groups {
                    column: R::PROJECT,
                    values: projects.iter().map(Into::into).collect(),
                };
                (self.filter.clone().add_option(asked), Some(own))
            }
        };
        Ok(ListRequest {
            filter,
            groups,
            order: self
                .sort
                .iter()
                .map(|(field, descending)| SortKey {
                    column: field.column,
                    descending: *descending,
                    nullable: field.nullable,
                })
                .collect(),
            start: self.start.clone(),
            size: self.size,
            count: self.count,
        })
    }
}

/// The fields to sort by. `id` ends them, so that the order is total, in the direction of the field before it,
/// so that one index serves both directions. The order of `created_at` is that of `id`.
fn take_sort<R: Resource>(query: &mut QueryString) -> Result<Vec<SortField<R>>, ApiError> {
    let mut sort: Vec<SortField<R>> = Vec::new();
    let mut named = Vec::new();
    for key in query.take_names("sort")?.unwrap_or_default() {
        let (name, descending) = match key.strip_prefix('-') {
            Some(name) => (name, true),
            None => (key.as_str(), false),
        };
        let found = field::<R>(name).filter(|field| field.sortable);
        let found =
            found.ok_or_else(|| unknown("sort", format!("there is no sort key `{name}`")))?;
        if named.contains(&found.name) {
            return Err(invalid("sort", format!("has `{name}` twice")));
        }
        named.push(found.name);
        sort.push((found, descending));
    }
    // Fields after a unique one have no effect.
    let unique = |(field, _): &SortField<R>| field.name == "id" || field.ordered_by_id;
    let descending = match sort.iter().position(unique) {
        Some(last) => {
            sort.truncate(last + 1);
            sort.pop().is_some_and(|(_, descending)| descending)
        }
        None => sort.last().is_some_and(|(_, descending)| *descending),
    };
    sort.extend(R::FIELDS.first().map(|id| (id, descending)));
    Ok(sort)
}

fn take_size(query: &mut QueryString) -> Result<PageSize, ApiError> {
    match query.take("page[size]")? {
        None => Ok(PageSize::MAX),
        Some(text) => text
            .parse()
            .ok()
            .and_then(PageSize::new)
            .ok_or_else(|| invalid("page[size]", "must be 1 to 1000")),
    }
}

/// The page's number; bounded so that an offset never overflows.
fn take_number(query: &mut QueryString) -> Result<Option<u64>, ApiError> {
    match query.take("page[number]")? {
        None => Ok(None),
        Some(text) => text
            .parse::<u32>()
            .ok()
            .filter(|number| *number > 0)
            .map(|number| Some(u64::from(number)))
            .ok_or_else(|| invalid("page[number]", "must be 1 to 4294967295")),
    }
}

/// The query without the parameters of its page.
fn rest_of(request: &Request) -> String {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(
            url::form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| name != "page[number]" && name != "page[after]"),
        )
        .finish()
}

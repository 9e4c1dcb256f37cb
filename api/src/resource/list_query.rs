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

/// The most values that are bound to a statement; SQLite's limit is 32,766. A list over several projects repeats its
/// filter for each project.
const MAX_BOUND_VALUES: usize = 30_000;
/// The most values of a statement besides the lists of its filter.
const MAX_OTHER_VALUES: usize = 60;

/// The parsed query of a list.
pub(crate) struct ListQuery<R: Resource> {
    filter: Condition,
    /// The part of the filter that an index serves in the order of the list.
    groups: Option<Groups<Column<R>>>,
    /// Whether the filter selects a range of an index.
    by_range: bool,
    /// The number of values in the filter's lists.
    values: usize,
    /// The sort keys, `id` last.
    pub(crate) sort: Vec<SortField<R>>,
    start: PageStart,
    /// The number of the page, unless a cursor selects it.
    pub(crate) number: Option<u64>,
    /// The number of items per page.
    pub(crate) size: PageSize,
    /// Whether to count the items of the list.
    pub(crate) count: bool,
    /// The fields and relationships to show.
    pub(crate) view: View<R>,
    /// The query without the parameters of the page, for links.
    pub(crate) rest: String,
}

impl<R: Resource> ListQuery<R> {
    /// Parses the query of a request.
    pub(crate) fn from_request(request: &Request) -> Result<Self, ApiError> {
        let mut query = QueryString::from_request(request);
        let rest = rest_of(request);
        let Filter {
            condition: filter,
            groups,
            by_range,
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
            by_range,
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

    /// Creates the request for the rows that the caller may read.
    pub(crate) fn request(&self, scope: &ReadScope) -> Result<ListRequest<Column<R>>, ApiError> {
        if let ReadScope::Projects(projects) = scope
            && projects.len() * (self.values + MAX_OTHER_VALUES) > MAX_BOUND_VALUES
        {
            return Err(ApiError::new(
                ErrorCode::InvalidValue,
                format!(
                    "the lists of the filters have {} values, too many for a token with {} projects; send fewer values",
                    self.values,
                    projects.len()
                ),
            ));
        }
        let (filter, groups) = match scope {
            ReadScope::All => (self.filter.clone(), self.groups.clone()),
            ReadScope::Projects(projects) => {
                let condition = self.groups.as_ref().map(Groups::condition);
                let own = Groups {
                    column: R::PROJECT,
                    values: projects.iter().map(Into::into).collect(),
                };
                (self.filter.clone().add_option(condition), Some(own))
            }
        };
        Ok(ListRequest {
            filter,
            groups,
            by_range: self.by_range,
            expiry: None,
            order: self.sort.iter().map(sort_column).collect(),
            start: self.start.clone(),
            size: self.size,
            count: self.count,
        })
    }
}

/// Takes the sort keys out of a query, and appends `id`, so that the order is total. `id` has the direction of the key
/// before it, so that one index serves both directions. It replaces `created_at`, which has the same order.
fn take_sort<R: Resource>(query: &mut QueryString) -> Result<Vec<SortField<R>>, ApiError> {
    let mut sort: Vec<SortField<R>> = Vec::new();
    for key in query.take_names("sort")?.unwrap_or_default() {
        let (name, descending) = match key.strip_prefix('-') {
            Some(name) => (name, true),
            None => (key.as_str(), false),
        };
        let field = field::<R>(name).filter(|field| field.sortable);
        let field =
            field.ok_or_else(|| unknown("sort", format!("there is no sort key `{name}`")))?;
        if sort.iter().any(|key| key.field.name == field.name) {
            return Err(invalid("sort", format!("has `{name}` twice")));
        }
        sort.push(SortField { field, descending });
    }
    // Keys after a unique one have no effect.
    let is_unique = |key: &SortField<R>| key.field.name == "id" || key.field.ordered_by_id;
    let last = match sort.iter().position(is_unique) {
        Some(position) => sort.drain(position..).next(),
        None => None,
    };
    let descending = last
        .as_ref()
        .or(sort.last())
        .is_some_and(|key| key.descending);
    let field = &R::FIELDS[0];
    sort.push(SortField { field, descending });
    Ok(sort)
}

fn sort_column<R: Resource>(key: &SortField<R>) -> SortKey<Column<R>> {
    SortKey {
        column: key.field.column,
        descending: key.descending,
        nullable: key.field.nullable,
    }
}

fn take_size(query: &mut QueryString) -> Result<PageSize, ApiError> {
    match query.take("page[size]")? {
        None => Ok(PageSize::MAX),
        Some(text) => text
            .parse()
            .ok()
            .and_then(|size| PageSize::new(size).ok())
            .ok_or_else(|| invalid("page[size]", "must be 1 to 1000")),
    }
}

/// Takes the number of the page out of a query. Its limit keeps offsets from overflowing.
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

/// The query without the parameters of the page.
fn rest_of(request: &Request) -> String {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(
            url::form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| name != "page[number]" && name != "page[after]"),
        )
        .finish()
}

//! What a client asks of a resource: filter, sort, page, fields, include.

use media_shared::{
    access::Sight,
    list::{Groups, ListRequest, PageSize, PageStart, SortKey},
};
use poem::Request;
use sea_orm::{Condition, EntityTrait};

use super::{
    Field, Resource, cursor, field,
    filter::{Filter, take_filter},
    query_string::{QueryString, invalid, unknown},
};
use crate::jsonapi::{ApiError, ErrorCode};

/// The most values that are bound to a statement; SQLite takes 32,766. A list over several projects has
/// its filter once for each.
const MAX_BOUND: usize = 30_000;
/// What a statement has beside the lists of its filter, at most.
const OTHER_VALUES: usize = 60;

/// The column type of a resource.
pub(super) type Column<R> = <<R as Resource>::Entity as EntityTrait>::Column;

/// A field to sort by, and whether the greatest comes first.
pub(crate) type SortField<R> = (&'static Field<<R as Resource>::Entity>, bool);

/// What to show of a resource.
pub(crate) struct View<R: Resource> {
    /// The fields, in the table's order.
    pub(crate) fields: Vec<&'static Field<R::Entity>>,
    /// The relationships.
    pub(crate) relationships: Vec<&'static str>,
    /// Fields of resources that are included, by type, as the client wrote them.
    pub(crate) other_fields: Vec<(String, Vec<String>)>,
    /// Relationships to include.
    pub(crate) include: Vec<&'static str>,
}

/// What list a client asks for.
pub(crate) struct ListQuery<R: Resource> {
    filter: Condition,
    /// Rows that an index gives in their order, where the filter asks for some.
    groups: Option<Groups<Column<R>>>,
    /// How many values the lists in the filter have.
    values: usize,
    /// The fields to sort by, `id` last.
    pub(crate) sort: Vec<SortField<R>>,
    start: PageStart,
    /// The page's number, where it was asked for by number.
    pub(crate) number: Option<u64>,
    /// How many items.
    pub(crate) size: PageSize,
    /// Whether to count.
    pub(crate) count: bool,
    /// What to show.
    pub(crate) view: View<R>,
    /// The query without its page, for links.
    pub(crate) rest: String,
}

impl<R: Resource> View<R> {
    /// Reads what a request for a single resource asks for.
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let mut query = QueryString::of(request);
        let view = Self::take(&mut query)?;
        query.finish()?;
        Ok(view)
    }

    /// All fields, nothing included.
    pub(crate) fn full() -> Self {
        Self {
            fields: R::FIELDS.iter().collect(),
            relationships: R::INCLUDABLE.to_vec(),
            other_fields: Vec::new(),
            include: Vec::new(),
        }
    }

    /// The view of an included resource, by the fields that the client named for its type.
    pub(crate) fn of_included(types: &[(String, Vec<String>)]) -> Result<Self, ApiError> {
        let mut view = Self::full();
        for (key, names) in types {
            if key == R::TYPE {
                view.select(&format!("fields[{key}]"), names)?;
            }
        }
        Ok(view)
    }

    /// Shows these fields only: attributes and relationships (JSON:API 1.1 §5.2).
    fn select(&mut self, parameter: &str, names: &[String]) -> Result<(), ApiError> {
        for name in names {
            if field::<R>(name).is_none() && !R::INCLUDABLE.contains(&name.as_str()) {
                return Err(unknown(parameter, format!("there is no field `{name}`")));
            }
        }
        let wanted = |field: &str| names.iter().any(|name| name == field);
        self.fields = R::FIELDS
            .iter()
            .filter(|field| wanted(field.name))
            .collect();
        self.relationships = R::INCLUDABLE
            .iter()
            .copied()
            .filter(|name| wanted(name))
            .collect();
        Ok(())
    }

    /// Takes what a query asks to be shown.
    pub(crate) fn take(query: &mut QueryString) -> Result<Self, ApiError> {
        let mut view = Self::full();
        if let Some(names) = query.take_names("fields")? {
            view.select("fields", &names)?;
        }
        for (key, names) in query.take_lists_by_key("fields")? {
            let parameter = format!("fields[{key}]");
            if key == R::TYPE {
                view.select(&parameter, &names)?;
            } else if R::INCLUDABLE.is_empty() || key != crate::medias::MediaResource::TYPE {
                return Err(unknown(&parameter, "there is no such type here"));
            } else {
                view.other_fields.push((key, names));
            }
        }
        for parameter in ["included", "include"] {
            for name in query.take_names(parameter)?.unwrap_or_default() {
                if name.is_empty() {
                    continue;
                }
                let known = R::INCLUDABLE.iter().find(|known| **known == name);
                let known = known.ok_or_else(|| {
                    unknown(parameter, format!("there is no relationship `{name}`"))
                })?;
                if !view.include.contains(known) {
                    view.include.push(known);
                }
            }
        }
        Ok(view)
    }
}

impl<R: Resource> ListQuery<R> {
    /// Reads what a request for a list asks for.
    pub(crate) fn of(request: &Request) -> Result<Self, ApiError> {
        let mut query = QueryString::of(request);
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

    /// What to read from the table, of what is seen.
    pub(crate) fn request(&self, sight: &Sight) -> Result<ListRequest<Column<R>>, ApiError> {
        if let Sight::Projects(projects) = sight
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
            Sight::All => (self.filter.clone(), self.groups.clone()),
            Sight::Projects(projects) => {
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

/// The fields to sort by. `id` ends the list, so that the order is total; it goes the way of the
/// key before it, so that one index serves both ways. The order of `created_at` is that of `id`.
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
    // What comes after what is different in each row says nothing.
    let unique = |(field, _): &SortField<R>| field.name == "id" || field.dates_id;
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

/// The query as it came, without what says which page it is.
fn rest_of(request: &Request) -> String {
    let query = request.uri().query().unwrap_or_default();
    url::form_urlencoded::Serializer::new(String::new())
        .extend_pairs(
            url::form_urlencoded::parse(query.as_bytes())
                .filter(|(name, _)| name != "page[number]" && name != "page[after]"),
        )
        .finish()
}

//! Pages of lists: filter, order, start and size.

use std::ops::ControlFlow;

use chrono::{DateTime, Utc};
use sea_orm::{
    ColumnTrait as _, Condition, ConnectionTrait as _, DbBackend, DbErr, EntityTrait,
    ExprTrait as _, FromQueryResult as _, Order, QueryFilter, QueryOrder, QueryResult, QuerySelect,
    QueryTrait as _, Select, Value,
    sea_query::{Expr, NullOrdering, Query, SubQueryStatement, UnionType},
};

use crate::Reader;

/// The number of items of a page: 1…1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u64);

/// A number that is no page size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a number from 1 to 1000")]
pub struct PageSizeError;

impl PageSize {
    /// The largest page, which is also the default (the reference).
    pub const MAX: Self = Self(1000);

    /// Takes a number as a page size.
    pub fn new(size: u64) -> Result<Self, PageSizeError> {
        if (1..=Self::MAX.0).contains(&size) {
            Ok(Self(size))
        } else {
            Err(PageSizeError)
        }
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The approximate most bytes of a page, which ends with the item that reaches it. [`PageSize::MAX`] items of ordinary
/// length stay far below.
pub const MAX_PAGE_BYTES: usize = 4 << 20;
/// The approximate size of an item's document in bytes, without the texts that its client chose.
const ITEM_BYTES: usize = 1024;

/// An item that knows the approximate length of its document.
pub trait DocumentLength {
    /// The bytes of the texts that its client chose.
    fn text_bytes(&self) -> usize;
}

/// The bytes of all texts in a value.
pub(crate) fn json_text_bytes(value: &serde_json::Value) -> usize {
    use serde_json::Value;
    match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(json_text_bytes).sum(),
        Value::Object(members) => {
            let member = |(name, value): (&String, _)| name.len() + json_text_bytes(value);
            members.iter().map(member).sum()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

/// A column to sort by. NULL comes after every value, as in PostgreSQL's own order, so that its indexes serve.
#[derive(Clone, Debug)]
pub struct SortKey<C> {
    /// The column.
    pub column: C,
    /// Whether the order is descending.
    pub descending: bool,
    /// Whether the column may be NULL.
    pub nullable: bool,
}

/// The start of a page.
#[derive(Clone, Debug)]
pub enum PageStart {
    /// The page of this number, counted from 1. Later pages cost more.
    Number(u64),
    /// The rows after the one with these values of the sort keys: as cheap at the end as at the start, and stable while
    /// rows are added and deleted.
    After(Vec<Value>),
}

/// Groups of rows, by the value of a column with which an index begins that ends with the unique key. Each group is
/// looked up by itself, so that the index returns its rows in order.
#[derive(Clone, Debug)]
pub struct Groups<C> {
    /// The column, which is not NULL in these groups.
    pub column: C,
    /// Its values, in a bounded number.
    pub values: Vec<Value>,
}

impl<C: sea_orm::ColumnTrait> Groups<C> {
    /// The condition that a row is in one of the groups.
    pub fn condition(&self) -> Condition {
        Condition::all().add(self.column.is_in(self.values.iter().cloned()))
    }
}

/// The expiry of rows: expired ones are gone for readers, and few of them still exist.
#[derive(Clone, Copy, Debug)]
pub struct Expiry<C> {
    /// The column of the time, with an index; NULL for rows that never expire.
    pub column: C,
    /// The present time.
    pub now: DateTime<Utc>,
}

impl<C: sea_orm::ColumnTrait> Expiry<C> {
    fn unexpired(self) -> Condition {
        let never = self.column.is_null();
        Condition::any().add(never).add(self.column.gt(self.now))
    }
}

/// The requested part of a list.
#[derive(Clone, Debug)]
pub struct ListRequest<C> {
    /// The condition on the rows.
    pub filter: Condition,
    /// If set, only rows of these groups.
    pub groups: Option<Groups<C>>,
    /// Whether the filter selects a range of an index, which is read rather than the groups: those are an ordinary
    /// condition then.
    pub by_range: bool,
    /// The expiry of the rows, if they expire.
    pub expiry: Option<Expiry<C>>,
    /// The order; its last key is unique.
    pub order: Vec<SortKey<C>>,
    /// The start.
    pub start: PageStart,
    /// The number of items.
    pub size: PageSize,
    /// Whether to count the whole list.
    pub count: bool,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in the order asked for.
    pub items: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
    /// The number of rows of the whole list, if it was asked for.
    pub total: Option<u64>,
}

/// Reads a page.
pub(crate) async fn read<E>(
    database: &Reader,
    request: ListRequest<E::Column>,
) -> Result<Page<E::Model>, DbErr>
where
    E: EntityTrait,
    E::Model: DocumentLength + Sync,
{
    let size = request.size.get();
    let total = if request.count {
        Some(count::<E>(database, &request).await?)
    } else {
        None
    };
    let backend = database.get_database_backend();
    let rows = select::<E>(backend, &request).build(backend);
    let mut page = Page {
        items: Vec::new(),
        has_more: false,
        total,
    };
    let mut bytes = 0;
    let add = |row: QueryResult| {
        if page.items.len() as u64 == size || bytes >= MAX_PAGE_BYTES {
            page.has_more = true;
            return Ok(ControlFlow::Break(()));
        }
        let item = E::Model::from_query_result(&row, "")?;
        bytes += ITEM_BYTES + item.text_bytes();
        page.items.push(item);
        Ok(ControlFlow::Continue(()))
    };
    database.visit_rows(rows, add).await?;
    Ok(page)
}

/// Counts the rows of a list. Expired ones are counted apart, by their index: to tell them from the others, the whole
/// table would have to be read.
async fn count<E: EntityTrait>(
    database: &Reader,
    request: &ListRequest<E::Column>,
) -> Result<u64, DbErr> {
    let groups = request.groups.as_ref().map(Groups::condition);
    let all = E::find()
        .filter(request.filter.clone())
        .filter(Condition::all().add_option(groups));
    let number = |rows: Select<E>| {
        let rows = rows.select_only().expr(Expr::cust("count(*)"));
        Expr::from(SubQueryStatement::SelectStatement(rows.into_query()))
    };
    let mut counted = number(all.clone());
    if let Some(Expiry { column, now }) = request.expiry {
        // In the same statement, so that both see the same rows.
        counted = counted.sub(number(all.filter(column.lte(now))));
    }
    let statement = Query::select().expr(counted).to_owned();
    let statement = database.get_database_backend().build(&statement);
    let row = database.query_one_raw(statement).await?;
    let number = row.map(|row| row.try_get_by_index::<i64>(0)).transpose()?;
    Ok(number.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

/// The statement that reads a page, and one row more to learn whether others follow. Public for tests of its plan.
pub fn select<E: EntityTrait>(backend: DbBackend, request: &ListRequest<E::Column>) -> Select<E> {
    let limit = request.size.get() + 1;
    let (offset, after) = match &request.start {
        PageStart::Number(number) => {
            let before = number.saturating_sub(1);
            (before.saturating_mul(request.size.get()), None)
        }
        PageStart::After(values) => (0, Some(values)),
    };
    let order = &request.order;
    let unexpired = request.expiry.map(Expiry::unexpired);
    let wanted = E::find()
        .filter(request.filter.clone())
        .filter(Condition::all().add_option(unexpired));
    let group = |column, value| in_group(backend, wanted.clone(), (column, value), order, after);
    let rows = match &request.groups {
        None => ordered(wanted.filter(after_cursor(order, after)), order),
        Some(groups) if request.by_range => {
            let rows = wanted.filter(not_by_index(backend, groups));
            ordered(rows.filter(after_cursor(order, after)), order)
        }
        Some(groups) => match groups.values.as_slice() {
            // No group has no row.
            [] => ordered(wanted.filter(groups.condition()), order),
            [only] => group(groups.column, only),
            [first, others @ ..] => {
                let most = limit.saturating_add(offset);
                let rows = |value| group(groups.column, value).limit(most);
                ordered(union_all(rows(first), others.iter().map(rows)), order)
            }
        },
    };
    let rows = rows.limit(limit);
    if offset > 0 {
        rows.offset(offset)
    } else {
        rows
    }
}

/// The condition that a row is in one of the groups, which SQLite's planner takes no index for: without statistics, it
/// takes an equality for more selective than a range.
fn not_by_index<C: sea_orm::ColumnTrait>(backend: DbBackend, groups: &Groups<C>) -> Condition {
    if backend != DbBackend::Sqlite {
        return groups.condition();
    }
    let column = Expr::col((groups.column.entity_name(), groups.column));
    let column = Expr::cust_with_expr("+?", column);
    Condition::all().add(column.is_in(groups.values.iter().cloned()))
}

/// The rows of one group, in order.
fn in_group<E: EntityTrait>(
    backend: DbBackend,
    rows: Select<E>,
    (column, value): (E::Column, &Value),
    order: &[SortKey<E::Column>],
    after: Option<&Vec<Value>>,
) -> Select<E> {
    let value = || value.clone();
    match order {
        // PostgreSQL assumes that matching rows are spread evenly, and would read all rows in order until it has found
        // enough, though there may be none among a million. A range on the column, with an order that begins with it,
        // means the same, and only the index on that column serves it.
        [key] if backend == DbBackend::Postgres => {
            let leading = SortKey {
                column,
                nullable: false,
                ..key.clone()
            };
            let order = [leading, key.clone()];
            let after = after.map(|last| [&[value()], last.as_slice()].concat());
            let rows = rows.filter(column.gte(value())).filter(column.lte(value()));
            ordered(rows.filter(after_cursor(&order, after.as_ref())), &order)
        }
        _ => {
            let rows = rows.filter(column.eq(value()));
            ordered(rows.filter(after_cursor(order, after)), order)
        }
    }
}

/// The rows of several statements, in the place of their table.
fn union_all<E: EntityTrait>(one: Select<E>, others: impl Iterator<Item = Select<E>>) -> Select<E> {
    // SQLite allows a limit in a subquery, but not within a union.
    let within = |rows: Select<E>| {
        Query::select()
            .expr(Expr::cust("*"))
            .from_subquery(rows.into_query(), "each")
            .to_owned()
    };
    let mut all = within(one);
    all.unions(others.map(|other| (UnionType::All, within(other))));
    let mut rows = E::find();
    QuerySelect::query(&mut rows)
        .from_clear()
        .from_subquery(all, E::default().table_name().to_owned());
    rows
}

fn ordered<E: EntityTrait>(mut rows: Select<E>, order: &[SortKey<E::Column>]) -> Select<E> {
    for key in order {
        // The order of NULLs is written only for columns that have them: it keeps SQLite from using an index.
        rows = match (key.descending, key.nullable) {
            (false, false) => rows.order_by_asc(key.column),
            (true, false) => rows.order_by_desc(key.column),
            (false, true) => rows.order_by_with_nulls(key.column, Order::Asc, NullOrdering::Last),
            (true, true) => rows.order_by_with_nulls(key.column, Order::Desc, NullOrdering::First),
        };
    }
    rows
}

/// The rows after the one with these values.
fn after_cursor<C: sea_orm::ColumnTrait>(
    order: &[SortKey<C>],
    values: Option<&Vec<Value>>,
) -> Condition {
    let values = values.map(Vec::as_slice).unwrap_or_default();
    let column = |key: &SortKey<C>| Expr::col((key.column.entity_name(), key.column));
    let row = |order: &[SortKey<C>]| Expr::tuple(order.iter().map(column));
    let last = || Expr::tuple(values.iter().cloned().map(Expr::value));
    if values.is_empty() {
        Condition::all()
    } else if order.iter().all(|key| !key.nullable && !key.descending) {
        Condition::all().add(row(order).gt(last()))
    } else if order.iter().all(|key| !key.nullable && key.descending) {
        Condition::all().add(row(order).lt(last()))
    } else {
        after_mixed_cursor(order, values)
    }
}

/// The same if rows cannot be compared as a whole, because of NULLs or of keys with different directions:
/// `a > x OR (a = x AND (b > y OR …))`, with a condition in front that an index serves (`a >= x AND …`).
fn after_mixed_cursor<C: sea_orm::ColumnTrait>(
    order: &[SortKey<C>],
    values: &[Value],
) -> Condition {
    let mut rest: Option<Condition> = None;
    for (key, value) in order.iter().zip(values.iter().cloned()).rev() {
        let column = || Expr::col((key.column.entity_name(), key.column));
        let is_null = is_null(&value);
        let beyond = match (key.descending, is_null) {
            (false, false) if key.nullable => {
                Some(column().gt(value.clone()).or(column().is_null()))
            }
            (false, false) => Some(column().gt(value.clone())),
            // Nothing is greater than NULL.
            (false, true) => None,
            (true, false) => Some(column().lt(value.clone())),
            (true, true) => Some(column().is_not_null()),
        };
        let same = if is_null {
            column().is_null()
        } else {
            column().eq(value.clone())
        };
        rest = Some(match rest {
            None => Condition::any().add_option(beyond),
            Some(rest) => {
                let ties = Condition::all().add(same).add(rest);
                let split = Condition::any().add_option(beyond).add(ties);
                match (key.descending, is_null || key.nullable) {
                    (false, false) => Condition::all().add(column().gte(value)).add(split),
                    (true, false) => Condition::all().add(column().lte(value)).add(split),
                    _ => split,
                }
            }
        });
    }
    rest.unwrap_or_else(Condition::all)
}

fn is_null(value: &Value) -> bool {
    *value == value.as_null()
}

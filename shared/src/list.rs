//! One page of a list: which rows, in which order, from where.

use sea_orm::{
    ColumnTrait as _, Condition, DatabaseConnection, DbErr, EntityTrait, ExprTrait as _, Order,
    PaginatorTrait, QueryFilter, QueryOrder, QuerySelect, QueryTrait as _, Select, Value,
    sea_query::{Expr, NullOrdering, Query, UnionType},
};

/// How many items a page holds: 1…1000.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageSize(u64);

impl PageSize {
    /// The largest page, which is also the default (the reference).
    pub const MAX: Self = Self(1000);

    /// Takes a number as a page size, or nothing if it is outside 1…1000.
    pub fn new(size: u64) -> Option<Self> {
        (1..=Self::MAX.0).contains(&size).then_some(Self(size))
    }

    /// The number.
    pub fn get(self) -> u64 {
        self.0
    }
}

/// A column to sort by. NULL comes after every value, as in PostgreSQL's own order, so that its
/// indexes serve.
#[derive(Clone, Debug)]
pub struct SortKey<C> {
    /// The column.
    pub column: C,
    /// Whether the greatest comes first.
    pub descending: bool,
    /// Whether the column holds NULLs.
    pub nullable: bool,
}

/// Where a page starts.
#[derive(Clone, Debug)]
pub enum PageStart {
    /// At the page of this number, counted from 1; dearer the further in.
    Number(u64),
    /// After the row with these values of the sort keys: as cheap at the end as at the start, and
    /// stable while rows come and go.
    After(Vec<Value>),
}

/// Groups of rows, by the value of a column: each is looked up by itself, so that an index that begins
/// with the column gives its rows in their order.
#[derive(Clone, Debug)]
pub struct Groups<C> {
    /// The column.
    pub column: C,
    /// Its values; a bounded number.
    pub values: Vec<String>,
}

impl<C: sea_orm::ColumnTrait> Groups<C> {
    fn condition(&self) -> Condition {
        Condition::all().add(match self.values.as_slice() {
            [only] => self.column.eq(only),
            values => self.column.is_in(values),
        })
    }
}

/// What part of a list is wanted.
#[derive(Clone, Debug)]
pub struct ListRequest<C> {
    /// Which rows.
    pub filter: Condition,
    /// Only those of one of these groups.
    pub groups: Option<Groups<C>>,
    /// In which order; the last key is unique.
    pub order: Vec<SortKey<C>>,
    /// From where.
    pub start: PageStart,
    /// How many items.
    pub size: PageSize,
    /// Whether to count the whole list, too.
    pub count: bool,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in the order asked for.
    pub items: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
    /// How many there are in all, if that was asked for.
    pub total: Option<u64>,
}

/// Reads a page.
pub(crate) async fn read<E>(
    database: &DatabaseConnection,
    request: ListRequest<E::Column>,
) -> Result<Page<E::Model>, DbErr>
where
    E: EntityTrait,
    E::Model: Sync,
{
    let size = request.size.get();
    let total = if request.count {
        let groups = request.groups.as_ref().map(Groups::condition);
        let all = E::find()
            .filter(request.filter.clone())
            .filter(Condition::all().add_option(groups));
        Some(all.count(database).await?)
    } else {
        None
    };
    let mut items = select::<E>(request).all(database).await?;
    let has_more = items.len() as u64 > size;
    if has_more {
        items.pop();
    }
    Ok(Page {
        items,
        has_more,
        total,
    })
}

/// The statement that reads a page, and one row more to know whether others follow. Public so that
/// its plan can be looked at.
pub fn select<E: EntityTrait>(request: ListRequest<E::Column>) -> Select<E> {
    let limit = request.size.get() + 1;
    let (offset, after) = match request.start {
        PageStart::Number(number) => {
            let before = number.saturating_sub(1);
            (before.saturating_mul(request.size.get()), Condition::all())
        }
        PageStart::After(values) => (0, after(&request.order, values)),
    };
    let wanted = |rows: Select<E>| rows.filter(request.filter.clone()).filter(after.clone());
    let rows = match &request.groups {
        Some(groups) if groups.values.len() > 1 => {
            let first = |value: &String| {
                let group = wanted(E::find()).filter(groups.column.eq(value));
                ordered(group, &request.order).limit(limit.saturating_add(offset))
            };
            of_any(groups.values.iter().map(first))
        }
        groups => {
            let group = groups.as_ref().map(Groups::condition);
            wanted(E::find()).filter(Condition::all().add_option(group))
        }
    };
    let rows = ordered(rows, &request.order).limit(limit);
    if offset > 0 {
        rows.offset(offset)
    } else {
        rows
    }
}

/// The rows of several statements, in the place of their table.
fn of_any<E: EntityTrait>(several: impl Iterator<Item = Select<E>>) -> Select<E> {
    // SQLite takes no limit within a union, but in a subquery.
    let mut statements = several.map(|rows| {
        Query::select()
            .expr(Expr::cust("*"))
            .from_subquery(rows.into_query(), "each")
            .to_owned()
    });
    let mut rows = E::find();
    if let Some(mut all) = statements.next() {
        all.unions(statements.map(|more| (UnionType::All, more)));
        QuerySelect::query(&mut rows)
            .from_clear()
            .from_subquery(all, E::default().table_name().to_owned());
    }
    rows
}

fn ordered<E: EntityTrait>(mut rows: Select<E>, order: &[SortKey<E::Column>]) -> Select<E> {
    for key in order {
        // Written out only where it can matter: it keeps SQLite from using an index.
        rows = match (key.descending, key.nullable) {
            (false, false) => rows.order_by_asc(key.column),
            (true, false) => rows.order_by_desc(key.column),
            (false, true) => rows.order_by_with_nulls(key.column, Order::Asc, NullOrdering::Last),
            (true, true) => rows.order_by_with_nulls(key.column, Order::Desc, NullOrdering::First),
        };
    }
    rows
}

/// The rows that come after one with these values: `a > x OR (a = x AND (b > y OR …))`, with what
/// an index can use in front (`a >= x AND …`).
fn after<C: sea_orm::ColumnTrait>(order: &[SortKey<C>], values: Vec<Value>) -> Condition {
    let mut rest: Option<Condition> = None;
    for (key, value) in order.iter().zip(values).rev() {
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

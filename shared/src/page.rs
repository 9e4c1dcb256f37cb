//! One page of a list in the order of creation.

use sea_orm::{
    ColumnTrait, DatabaseConnection, DbErr, EntityTrait, PaginatorTrait, QueryFilter, QueryOrder,
    QuerySelect,
};
use uuid::Uuid;

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

/// Where a page starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageStart {
    /// At the page of this number, counted from 1; dearer the further in.
    Number(u64),
    /// After the item with this identifier; as cheap at the end as at the start, and stable while
    /// rows come and go.
    After(Uuid),
}

/// What part of a list is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PageRequest {
    /// How many items.
    pub size: PageSize,
    /// From where.
    pub start: PageStart,
    /// Whether to count the whole list, too.
    pub count: bool,
}

/// A part of a list.
#[derive(Clone, Debug)]
pub struct Page<T> {
    /// The items, in the order of creation.
    pub items: Vec<T>,
    /// Whether more follow.
    pub has_more: bool,
    /// How many there are in all, if that was asked for.
    pub total: Option<u64>,
}

/// Reads a page of a table whose column `id` is a UUIDv7.
pub(crate) async fn read<E>(
    database: &DatabaseConnection,
    id: E::Column,
    request: PageRequest,
) -> Result<Page<E::Model>, DbErr>
where
    E: EntityTrait,
    E::Model: Sync,
{
    let size = request.size.get();
    let rows = E::find().order_by_asc(id).limit(size + 1);
    let rows = match request.start {
        PageStart::Number(number) => rows.offset(number.saturating_sub(1).saturating_mul(size)),
        PageStart::After(after) => rows.filter(id.gt(after)),
    };
    let mut items = rows.all(database).await?;
    let has_more = items.len() as u64 > size;
    if has_more {
        items.pop();
    }
    let total = if request.count {
        Some(E::find().count(database).await?)
    } else {
        None
    };
    Ok(Page {
        items,
        has_more,
        total,
    })
}

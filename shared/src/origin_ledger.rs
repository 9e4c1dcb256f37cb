//! The book of origins, and the only writer of the tables `origins` and `origin_guests`: which hosts
//! asked to be left alone, and until when, and which workers are there. All workers keep to it.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use crate::{clock::Clock, database::Database, entities::origin};

mod guests;

/// The longest that a host is left alone for asking, whatever it asks.
pub const LONGEST: Duration = Duration::from_hours(24);
/// The most hosts that one turn forgets.
const BATCH: u64 = 500;

/// The book of origins.
#[derive(Clone, Debug)]
pub struct OriginLedger {
    database: Database,
    clock: Clock,
}

impl OriginLedger {
    /// Opens the book.
    pub fn new(database: Database, clock: Clock) -> Self {
        Self { database, clock }
    }

    /// A host asks to be left alone for so long. What it asked for before holds if that is longer.
    pub async fn leave_alone(&self, host: &str, wait: Duration) -> Result<(), DbErr> {
        let row = origin::ActiveModel {
            host: Set(host.to_owned()),
            not_before: Set(self.clock.now() + wait.min(LONGEST)),
        };
        let later = OnConflict::column(origin::Column::Host)
            .update_column(origin::Column::NotBefore)
            .action_cond_where(
                Condition::all().add(Expr::cust("origins.not_before < excluded.not_before")),
            )
            .to_owned();
        let insert = origin::Entity::insert(row).on_conflict(later);
        self.database.write_query(&insert).await.map(drop)
    }

    /// Until when a host wants to be left alone; nothing if it does not.
    pub async fn not_before(&self, host: &str) -> Result<Option<DateTime<Utc>>, DbErr> {
        let found = origin::Entity::find_by_id(host)
            .one(self.database.reader())
            .await?;
        let now = self.clock.now();
        Ok(found.map(|row| row.not_before).filter(|until| *until > now))
    }

    /// Forgets hosts that may be asked again, and workers that are gone. Returns how many.
    pub async fn prune(&self) -> Result<u64, DbErr> {
        let over = origin::Entity::find()
            .select_only()
            .column(origin::Column::Host)
            .filter(origin::Column::NotBefore.lt(self.clock.now()))
            .limit(BATCH)
            .into_tuple::<String>()
            .all(self.database.reader())
            .await?;
        let gone = self.forget_guests().await?;
        if over.is_empty() {
            return Ok(gone);
        }
        let forget = origin::Entity::delete_many()
            .filter(origin::Column::Host.is_in(over))
            .filter(origin::Column::NotBefore.lt(self.clock.now()));
        Ok(gone + self.database.write_query(&forget).await?)
    }
}

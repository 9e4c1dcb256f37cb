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

/// The longest that an origin is believed that wants to be left alone, whatever it asks. After that, one
/// request finds out whether it still does.
pub const LONGEST: Duration = Duration::from_mins(5);
/// How long others wait for the request that finds that out.
pub const PROBE_TIME: Duration = Duration::from_secs(10);
/// How long an origin that may be asked again is remembered, so that one request goes first.
const PROBE_RETENTION: Duration = Duration::from_mins(10);
/// The most hosts that one turn forgets.
const BATCH: u64 = 500;

/// Whether an origin may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turn {
    /// It may.
    Free,
    /// By this request alone, which finds out whether all may. [`OriginLedger::clear`] says that they do.
    Probe,
    /// Not before this time.
    Wait(DateTime<Utc>),
}

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

    /// Whether an origin may be asked. Of all that ask when its time is over, in all workers, one is told
    /// to go first.
    pub async fn turn(&self, origin: &str) -> Result<Turn, DbErr> {
        let found = origin::Entity::find_by_id(origin)
            .one(self.database.reader())
            .await?;
        let now = self.clock.now();
        match found.map(|row| row.not_before) {
            None => return Ok(Turn::Free),
            Some(until) if until > now => return Ok(Turn::Wait(until)),
            Some(_) => {}
        }
        let until = now + PROBE_TIME;
        let take = origin::Entity::update_many()
            .col_expr(origin::Column::NotBefore, Expr::value(until))
            .filter(origin::Column::Host.eq(origin))
            .filter(origin::Column::NotBefore.lte(now));
        Ok(match self.database.write_query(&take).await? {
            0 => Turn::Wait(until),
            _ => Turn::Probe,
        })
    }

    /// An origin takes requests again.
    pub async fn clear(&self, origin: &str) -> Result<(), DbErr> {
        let delete = origin::Entity::delete_by_id(origin);
        self.database.write_query(&delete).await.map(drop)
    }

    /// Forgets hosts that may be asked again, and workers that are gone. Returns how many.
    pub async fn prune(&self) -> Result<u64, DbErr> {
        let long_over = self.clock.now() - PROBE_RETENTION;
        let over = origin::Entity::find()
            .select_only()
            .column(origin::Column::Host)
            .filter(origin::Column::NotBefore.lt(long_over))
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
            .filter(origin::Column::NotBefore.lt(long_over));
        Ok(gone + self.database.write_query(&forget).await?)
    }
}

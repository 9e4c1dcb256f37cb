//! The back-off of origins that refuse requests for a while.

use std::time::Duration;

use chrono::{DateTime, Utc};
use sea_orm::{
    ActiveValue::Set,
    ColumnTrait, Condition, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::{Expr, OnConflict},
};

use super::HostLimits;
use crate::entities::host_backoff;

/// The longest back-off of an origin, whatever it asks for. After that, one request probes whether it still refuses.
pub const MAX_BACKOFF: Duration = Duration::from_mins(5);
/// The time for which other requests wait for the probe.
pub const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// The time for which an origin is kept after its back-off, so that one request probes it first.
const PROBE_RETENTION: Duration = Duration::from_mins(10);
/// The most origins that one turn prunes.
const MAX_PRUNED: u64 = 500;

/// The admission of a request to an origin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackoffStatus {
    /// It may be sent.
    Free,
    /// It is the probe: other requests wait for its result, which [`HostLimits::clear`] records if it succeeds.
    Probe,
    /// It may not be sent before this time.
    Wait(DateTime<Utc>),
}

impl HostLimits {
    /// Records that an origin asks for a back-off. An earlier one holds if it is longer.
    pub async fn back_off(&self, host: &str, wait: Duration) -> Result<(), DbErr> {
        let row = host_backoff::ActiveModel {
            host: Set(host.to_owned()),
            not_before: Set(self.clock.now() + wait.min(MAX_BACKOFF)),
        };
        let later = OnConflict::column(host_backoff::Column::Host)
            .update_column(host_backoff::Column::NotBefore)
            .action_cond_where(
                Condition::all().add(Expr::cust("host_backoffs.not_before < excluded.not_before")),
            )
            .to_owned();
        let insert = host_backoff::Entity::insert(row).on_conflict(later);
        self.database.write_query(&insert).await.map(drop)
    }

    /// The end of an origin's back-off, if there is one.
    pub async fn not_before(&self, host: &str) -> Result<Option<DateTime<Utc>>, DbErr> {
        let found = host_backoff::Entity::find_by_id(host)
            .one(self.database.reader())
            .await?;
        let now = self.clock.now();
        Ok(found.map(|row| row.not_before).filter(|until| *until > now))
    }

    /// Whether a request to an origin may be sent. After a back-off, one request of all workers is the probe.
    pub async fn admit(&self, origin: &str) -> Result<BackoffStatus, DbErr> {
        let found = host_backoff::Entity::find_by_id(origin)
            .one(self.database.reader())
            .await?;
        let now = self.clock.now();
        match found.map(|row| row.not_before) {
            None => return Ok(BackoffStatus::Free),
            Some(until) if until > now => return Ok(BackoffStatus::Wait(until)),
            Some(_) => {}
        }
        let until = now + PROBE_LIMIT;
        let take = host_backoff::Entity::update_many()
            .col_expr(host_backoff::Column::NotBefore, Expr::value(until))
            .filter(host_backoff::Column::Host.eq(origin))
            .filter(host_backoff::Column::NotBefore.lte(now));
        Ok(match self.database.write_query(&take).await? {
            0 => BackoffStatus::Wait(until),
            _ => BackoffStatus::Probe,
        })
    }

    /// Ends the back-off of an origin.
    pub async fn clear(&self, origin: &str) -> Result<(), DbErr> {
        let delete = host_backoff::Entity::delete_by_id(origin);
        self.database.write_query(&delete).await.map(drop)
    }

    pub(super) async fn prune_backoffs(&self) -> Result<u64, DbErr> {
        let long_over = self.clock.now() - PROBE_RETENTION;
        let over = host_backoff::Entity::find()
            .select_only()
            .column(host_backoff::Column::Host)
            .filter(host_backoff::Column::NotBefore.lt(long_over))
            .limit(MAX_PRUNED)
            .into_tuple::<String>()
            .all(self.database.reader())
            .await?;
        if over.is_empty() {
            return Ok(0);
        }
        let prune = host_backoff::Entity::delete_many()
            .filter(host_backoff::Column::Host.is_in(over))
            .filter(host_backoff::Column::NotBefore.lt(long_over));
        self.database.write_query(&prune).await
    }
}

//! The number of connections that each worker may have to one host: together they have no more than one limit.

use std::time::Duration;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, DatabaseBackend, DbErr, EntityTrait, QueryFilter, QuerySelect,
    sea_query::OnConflict,
};

use super::HostLimits;
use crate::{
    advisory_lock::{AdvisoryLock, lock},
    entities::host_connection,
};
use media_domain::ids::WorkerId;

/// The time for which a reservation stays valid without a heartbeat.
const RESERVATION_TTL: Duration = Duration::from_secs(5);
/// The most workers at one host that are considered.
const MAX_WORKERS: u64 = 1000;

impl HostLimits {
    /// Reserves connections to a host for a worker that has `in_use` open. Returns how many it may have of the `limit` of
    /// all workers: its fair share, as far as the others leave it. A worker that has more lets them end. To be called
    /// every second or two, as a heartbeat.
    pub async fn acquire_connections(
        &self,
        host: &str,
        worker: WorkerId,
        in_use: usize,
        limit: usize,
    ) -> Result<usize, DbErr> {
        // A SQLite file has one process.
        if self.database.backend() != DatabaseBackend::Postgres {
            return Ok(limit);
        }
        let now = self.clock.now();
        let host = host.to_owned();
        self.database
            .transaction(move |transaction| {
                let host = host.clone();
                Box::pin(async move {
                    lock(transaction, AdvisoryLock::HostConnections, &host).await?;
                    let others = host_connection::Entity::find()
                        .filter(host_connection::Column::Host.eq(host.as_str()))
                        .filter(host_connection::Column::WorkerId.ne(worker))
                        .filter(host_connection::Column::SeenAt.gt(now - RESERVATION_TTL))
                        .limit(MAX_WORKERS)
                        .all(transaction)
                        .await?;
                    let share = share(worker, &others, limit).max(in_use);
                    let reservation = host_connection::ActiveModel {
                        host: Set(host),
                        worker_id: Set(worker),
                        connections: Set(i32::try_from(share).unwrap_or(i32::MAX)),
                        seen_at: Set(now),
                    };
                    host_connection::Entity::insert(reservation)
                        .on_conflict(renew())
                        .exec_without_returning(transaction)
                        .await?;
                    Ok(share)
                })
            })
            .await
    }

    /// Releases the connections of a worker to a host.
    pub async fn release_connections(&self, host: &str, worker: WorkerId) -> Result<(), DbErr> {
        if self.database.backend() == DatabaseBackend::Postgres {
            let delete = host_connection::Entity::delete_by_id((host.to_owned(), worker));
            self.database.write_query(&delete).await?;
        }
        Ok(())
    }

    /// Deletes reservations without a heartbeat. Returns their number.
    pub(super) async fn prune_connections(&self) -> Result<u64, DbErr> {
        let gone = self.clock.now() - 2 * RESERVATION_TTL;
        let prune =
            host_connection::Entity::delete_many().filter(host_connection::Column::SeenAt.lt(gone));
        self.database.write_query(&prune).await
    }
}

fn renew() -> OnConflict {
    use host_connection::Column;
    OnConflict::columns([Column::Host, Column::WorkerId])
        .update_columns([Column::Connections, Column::SeenAt])
        .to_owned()
}

/// The share of a worker of `limit` connections: an equal part, the remainder to the first workers in one order, and no
/// more than the others leave.
fn share(worker: WorkerId, others: &[host_connection::Model], limit: usize) -> usize {
    let workers = others.len() + 1;
    let before = others.iter().filter(|other| other.worker_id < worker);
    let fair = limit / workers + usize::from(before.count() < limit % workers);
    let held: usize = others
        .iter()
        .map(|other| usize::try_from(other.connections).unwrap_or_default())
        .sum();
    fair.min(limit.saturating_sub(held))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use uuid::Uuid;

    use super::*;

    fn reservation(number: u128, connections: i32) -> host_connection::Model {
        host_connection::Model {
            host: "a.test".to_owned(),
            worker_id: WorkerId(Uuid::from_u128(number)),
            connections,
            seen_at: Utc::now(),
        }
    }

    fn share_of(number: u128, others: &[(u128, i32)], limit: usize) -> usize {
        let others: Vec<_> = others
            .iter()
            .map(|(n, held)| reservation(*n, *held))
            .collect();
        share(WorkerId(Uuid::from_u128(number)), &others, limit)
    }

    #[test]
    fn shares_are_fair_and_no_more_than_there_is() {
        assert_eq!(share_of(1, &[], 16), 16);
        // The other one has all as yet, and gives up half of it when it hears of this one.
        assert_eq!(share_of(2, &[(1, 16)], 16), 0);
        assert_eq!(share_of(1, &[(2, 0)], 16), 8);
        assert_eq!(share_of(2, &[(1, 8)], 16), 8);
        // The remainder goes to the first.
        assert_eq!(share_of(1, &[(2, 5), (3, 5)], 16), 6);
        assert_eq!(share_of(3, &[(1, 6), (2, 5)], 16), 5);
        assert_eq!(share_of(1, &[(2, 0), (3, 0)], 1), 1);
        assert_eq!(share_of(3, &[(1, 0), (2, 0)], 1), 0);
    }
}

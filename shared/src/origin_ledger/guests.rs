//! How many connections each worker may have to one host: all of them together have no more than one
//! would.

use std::time::Duration;

use sea_orm::{
    ActiveValue::Set, ColumnTrait, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait,
    QueryFilter, QuerySelect, Statement, sea_query::OnConflict,
};

use super::OriginLedger;
use crate::{database::Transaction, entities::origin_guest, ids::WorkerId};

/// How long a worker counts as a guest that says nothing.
const PRESENCE: Duration = Duration::from_secs(5);
/// The most guests of one host that are looked at.
const MAX_GUESTS: u64 = 1000;
/// Whoever changes the guests of a host does so alone.
const ALONE: &str = "SELECT pg_advisory_xact_lock(hashtextextended($1, 5703))";

impl OriginLedger {
    /// Says that a worker has `in_use` connections to a host, and how many it may have of the `most`
    /// that all workers may have together: its fair share, as far as the others leave it. One that has
    /// more has to give them up as they end. To be said every second or two.
    pub async fn visit(
        &self,
        host: &str,
        worker: WorkerId,
        in_use: usize,
        most: usize,
    ) -> Result<usize, DbErr> {
        // A file of SQLite is one process's.
        if self.database.backend() != DatabaseBackend::Postgres {
            return Ok(most);
        }
        let now = self.clock.now();
        let host = host.to_owned();
        self.database
            .transaction(move |transaction| {
                let host = host.clone();
                Box::pin(async move {
                    alone(transaction, &host).await?;
                    let others = origin_guest::Entity::find()
                        .filter(origin_guest::Column::Host.eq(host.as_str()))
                        .filter(origin_guest::Column::WorkerId.ne(worker))
                        .filter(origin_guest::Column::SeenAt.gt(now - PRESENCE))
                        .limit(MAX_GUESTS)
                        .all(transaction)
                        .await?;
                    let share = share(worker, &others, most).max(in_use);
                    let guest = origin_guest::ActiveModel {
                        host: Set(host),
                        worker_id: Set(worker),
                        connections: Set(i32::try_from(share).unwrap_or(i32::MAX)),
                        seen_at: Set(now),
                    };
                    origin_guest::Entity::insert(guest)
                        .on_conflict(again())
                        .exec_without_returning(transaction)
                        .await?;
                    Ok(share)
                })
            })
            .await
    }

    /// A worker has no more connections to a host.
    pub async fn leave(&self, host: &str, worker: WorkerId) -> Result<(), DbErr> {
        if self.database.backend() == DatabaseBackend::Postgres {
            let delete = origin_guest::Entity::delete_by_id((host.to_owned(), worker));
            self.database.write_query(&delete).await?;
        }
        Ok(())
    }

    /// Forgets workers that were not heard of. Returns how many.
    pub(super) async fn forget_guests(&self) -> Result<u64, DbErr> {
        let gone = self.clock.now() - 2 * PRESENCE;
        let forget =
            origin_guest::Entity::delete_many().filter(origin_guest::Column::SeenAt.lt(gone));
        self.database.write_query(&forget).await
    }
}

async fn alone(transaction: &Transaction, host: &str) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    let lock = Statement::from_sql_and_values(backend, ALONE, [host.into()]);
    transaction.query_one_raw(lock).await?;
    Ok(())
}

fn again() -> OnConflict {
    use origin_guest::Column;
    OnConflict::columns([Column::Host, Column::WorkerId])
        .update_columns([Column::Connections, Column::SeenAt])
        .to_owned()
}

/// What a worker may have of `most` beside the others: an equal share, the rest to those that come first
/// in one order, and no more than the others leave.
fn share(worker: WorkerId, others: &[origin_guest::Model], most: usize) -> usize {
    let guests = others.len() + 1;
    let before = others.iter().filter(|other| other.worker_id < worker);
    let fair = most / guests + usize::from(before.count() < most % guests);
    let held: usize = others
        .iter()
        .map(|other| usize::try_from(other.connections).unwrap_or_default())
        .sum();
    fair.min(most.saturating_sub(held))
}

#[cfg(test)]
mod tests {
    use chrono::Utc;
    use uuid::Uuid;

    use super::*;

    fn guest(number: u128, connections: i32) -> origin_guest::Model {
        origin_guest::Model {
            host: "a.test".to_owned(),
            worker_id: WorkerId(Uuid::from_u128(number)),
            connections,
            seen_at: Utc::now(),
        }
    }

    fn share_of(number: u128, others: &[(u128, i32)], most: usize) -> usize {
        let others: Vec<_> = others.iter().map(|(n, held)| guest(*n, *held)).collect();
        share(WorkerId(Uuid::from_u128(number)), &others, most)
    }

    #[test]
    fn shares_are_fair_and_no_more_than_there_is() {
        assert_eq!(share_of(1, &[], 16), 16);
        // The other one has all as yet, and gives up half of it when it hears of this one.
        assert_eq!(share_of(2, &[(1, 16)], 16), 0);
        assert_eq!(share_of(1, &[(2, 0)], 16), 8);
        assert_eq!(share_of(2, &[(1, 8)], 16), 8);
        // What cannot be divided goes to the first.
        assert_eq!(share_of(1, &[(2, 5), (3, 5)], 16), 6);
        assert_eq!(share_of(3, &[(1, 6), (2, 5)], 16), 5);
        assert_eq!(share_of(1, &[(2, 0), (3, 0)], 1), 1);
        assert_eq!(share_of(3, &[(1, 0), (2, 0)], 1), 0);
    }
}

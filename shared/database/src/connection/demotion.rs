//! The time at which the server was last found to take no writes.
//!
//! After a failover the address of the database leads to another server, but connections that are open stay with
//! the old one, which takes no writes any more and has no news. They are closed before they are used again. A
//! connection asks its server when it has not been used for a while, and once a second one of those that have.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    DbErr,
    sqlx::{self, Executor as _, PgConnection, Row as _, pool::PoolConnectionMetadata},
};

use super::failure;

/// A server that answers true takes no writes: it is a standby, or set to read only.
pub(super) const IS_READ_ONLY: &str =
    "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'";
/// The longest that a connection is used without a question to its server.
const TEST_INTERVAL: Duration = Duration::from_secs(1);

/// The last demotion that was noticed. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct Demotion(Arc<Mutex<Seen>>);

#[derive(Debug, Default)]
struct Seen {
    demoted: Option<Instant>,
    tested: Option<Instant>,
}

impl Demotion {
    /// Whether a connection may be used again. An error means that it is broken.
    pub(super) async fn allows(
        &self,
        connection: &mut PgConnection,
        meta: &PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        if self.came_after(meta.age) {
            return Ok(false);
        }
        if !self.is_test_due(meta.idle_for) {
            return Ok(true);
        }
        // Unprepared: the connection may be one to a pooler.
        let answer = connection.fetch_one(sqlx::raw_sql(IS_READ_ONLY)).await?;
        let is_read_only: bool = answer.try_get(0)?;
        if is_read_only {
            self.happened();
        }
        Ok(!is_read_only)
    }

    /// Notes the error of a statement, if it says that the server takes no writes.
    pub(super) fn note(&self, error: Option<&DbErr>) {
        if error.is_some_and(failure::is_read_only) {
            self.happened();
        }
    }

    /// The server takes no writes now.
    pub(super) fn happened(&self) {
        self.seen().demoted = Some(Instant::now());
    }

    /// Whether the server was found to take no writes after a connection of this age was opened.
    fn came_after(&self, age: Duration) -> bool {
        let demoted = self.seen().demoted;
        demoted.is_some_and(|at| at.elapsed() < age)
    }

    /// Whether a connection has to ask, which then counts for all.
    fn is_test_due(&self, idle_for: Duration) -> bool {
        let mut seen = self.seen();
        let is_due =
            idle_for >= TEST_INTERVAL || seen.tested.is_none_or(|at| at.elapsed() >= TEST_INTERVAL);
        if is_due {
            seen.tested = Some(Instant::now());
        }
        is_due
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, Seen> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_from_before_a_demotion_are_closed() {
        let demotion = Demotion::default();
        assert!(!demotion.came_after(Duration::from_hours(1)));
        demotion.happened();
        assert!(demotion.came_after(Duration::from_hours(1)));
        assert!(!demotion.came_after(Duration::ZERO));
    }

    #[test]
    fn idle_connections_ask_and_one_of_the_others_now_and_then() {
        let demotion = Demotion::default();
        assert!(demotion.is_test_due(Duration::ZERO));
        assert!(!demotion.is_test_due(Duration::ZERO));
        assert!(demotion.is_test_due(Duration::from_secs(1)));
    }
}

//! Detection of servers that became read-only.
//!
//! After a failover, the address of the database leads to another server, but open connections stay with the old one,
//! which is now read-only and outdated. Such connections are closed before they are used again. Connections are tested
//! before reuse: each one that was idle for [`TEST_INTERVAL`], and otherwise one per interval.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use sea_orm::{
    DbErr,
    sqlx::{self, Executor as _, PgConnection, Row as _, pool::PoolConnectionMetadata},
};

use super::failure;

/// A query that returns true on a read-only server: a standby, or one configured as read-only.
pub(super) const READ_ONLY_QUERY: &str =
    "SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'";
/// The time after which a connection is tested.
const TEST_INTERVAL: Duration = Duration::from_secs(1);

/// The last detected demotion. Clones share this state.
#[derive(Clone, Debug, Default)]
pub(super) struct Demotion(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    demoted: Option<Instant>,
    tested: Option<Instant>,
}

impl Demotion {
    /// Whether a connection may be reused. Fails if the connection is broken.
    pub(super) async fn allows(
        &self,
        connection: &mut PgConnection,
        meta: &PoolConnectionMetadata,
    ) -> Result<bool, sqlx::Error> {
        if self.is_newer_than(meta.age) {
            return Ok(false);
        }
        if !self.is_test_due(meta.idle_for) {
            return Ok(true);
        }
        // The statement is not prepared, since the connection may lead to a pooler.
        let answer = connection.fetch_one(sqlx::raw_sql(READ_ONLY_QUERY)).await?;
        let is_read_only: bool = answer.try_get(0)?;
        if is_read_only {
            self.record();
        }
        Ok(!is_read_only)
    }

    /// Records a demotion if the error of a statement says that the server is read-only.
    pub(super) fn check_error(&self, error: Option<&DbErr>) {
        if error.is_some_and(failure::is_read_only) {
            self.record();
        }
    }

    /// Records that the server is read-only now.
    pub(super) fn record(&self) {
        self.state().demoted = Some(Instant::now());
    }

    /// Whether the last demotion was detected after a connection of this age was opened.
    fn is_newer_than(&self, age: Duration) -> bool {
        let demoted = self.state().demoted;
        demoted.is_some_and(|at| at.elapsed() < age)
    }

    /// Whether a connection has to be tested. Starts a new interval if so.
    fn is_test_due(&self, idle_for: Duration) -> bool {
        let mut state = self.state();
        let is_due = idle_for >= TEST_INTERVAL
            || state.tested.is_none_or(|at| at.elapsed() >= TEST_INTERVAL);
        if is_due {
            state.tested = Some(Instant::now());
        }
        is_due
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_connections_opened_before_a_demotion_are_closed() {
        let demotion = Demotion::default();
        assert!(!demotion.is_newer_than(Duration::from_hours(1)));
        demotion.record();
        assert!(demotion.is_newer_than(Duration::from_hours(1)));
        assert!(!demotion.is_newer_than(Duration::ZERO));
    }

    #[test]
    fn idle_connections_are_tested_and_one_of_the_busy_ones_per_interval() {
        let demotion = Demotion::default();
        assert!(demotion.is_test_due(Duration::ZERO));
        assert!(!demotion.is_test_due(Duration::ZERO));
        assert!(demotion.is_test_due(Duration::from_secs(1)));
    }
}

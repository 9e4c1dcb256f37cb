//! The advisory locks of PostgreSQL, each held until the end of its transaction. SQLite has one writer and needs none.

use sea_orm::{ConnectionTrait, DatabaseBackend, DbErr, Statement};

/// A kind of lock. Its number separates it from the locks of other kinds on the same name.
#[derive(Clone, Copy, Debug)]
#[repr(i64)]
pub(crate) enum AdvisoryLock {
    /// Counting and adding the unfinished jobs of a project: two callers could both see room for one.
    ProjectJobs = 7_305_808_869_231_650_662,
    /// Dividing the connections to a host among the workers.
    HostConnections = 5703,
}

/// Waits for the lock on a name.
pub(crate) async fn lock(
    transaction: &impl ConnectionTrait,
    kind: AdvisoryLock,
    name: &str,
) -> Result<(), DbErr> {
    let backend = transaction.get_database_backend();
    if backend == DatabaseBackend::Postgres {
        let sql = "SELECT pg_advisory_xact_lock(hashtextextended($1, $2))";
        let values = [name.into(), (kind as i64).into()];
        let lock = Statement::from_sql_and_values(backend, sql, values);
        transaction.execute_raw(lock).await?;
    }
    Ok(())
}

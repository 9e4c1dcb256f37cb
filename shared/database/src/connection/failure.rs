//! The classification of database errors.

use sea_orm::{
    ConnAcquireErr, DbErr, RuntimeErr,
    sqlx::{self, error::DatabaseError, sqlite::SqliteError},
};

/// The class of a database error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatabaseFailure {
    /// The disk of the database is full.
    NoSpace,
    /// The database is unreachable, busy or read-only, or its disk fails: a retry may succeed.
    Unavailable,
    /// PostgreSQL cancelled the statement at its timeout.
    Timeout,
    /// The statement or the schema is wrong: a defect of this service.
    Defect,
}

/// Classifies an error.
pub fn classify(error: &DbErr) -> DatabaseFailure {
    match error {
        DbErr::ConnectionAcquire(ConnAcquireErr::Timeout | ConnAcquireErr::ConnectionClosed) => {
            DatabaseFailure::Unavailable
        }
        // The connection failed before the database responded.
        DbErr::Conn(RuntimeErr::Internal(_)) => DatabaseFailure::Unavailable,
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => match error.as_ref() {
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed => DatabaseFailure::Unavailable,
            sqlx::Error::Database(error) => classify_database_error(error.as_ref()),
            _ => DatabaseFailure::Defect,
        },
        _ => DatabaseFailure::Defect,
    }
}

/// Whether the request was valid and a retry may succeed.
pub fn is_unavailable(error: &DbErr) -> bool {
    matches!(
        classify(error),
        DatabaseFailure::Unavailable | DatabaseFailure::NoSpace
    )
}

/// Whether the server is read-only: a standby, or one configured as read-only.
pub(super) fn is_read_only(error: &DbErr) -> bool {
    database_error(error).is_some_and(|error| error.code().as_deref() == Some(READ_ONLY_SQLSTATE))
}

/// Whether the database received a statement and refused it, so that it had no effect.
pub(super) fn is_refused(error: &DbErr) -> bool {
    database_error(error).is_some() && !is_unavailable(error)
}

/// An error that may mean that another transaction was faster, after which the same can succeed.
pub trait LostRace {
    /// Whether trying again makes sense.
    fn lost_race(&self) -> bool;
}

impl LostRace for DbErr {
    fn lost_race(&self) -> bool {
        let Some(error) = database_error(self) else {
            return false;
        };
        error.kind() == sqlx::error::ErrorKind::UniqueViolation
            || match (sqlite_code(error), error.code().as_deref()) {
                (Some(code), _) => code & 0xff == sqlite::BUSY,
                // Serialization failure and deadlock.
                (None, code) => matches!(code, Some("40001" | "40P01")),
            }
    }
}

/// PostgreSQL's `read_only_sql_transaction`.
const READ_ONLY_SQLSTATE: &str = "25006";

/// Result codes of SQLite (<https://sqlite.org/rescode.html>).
mod sqlite {
    pub(super) const BUSY: i32 = 5;
    pub(super) const LOCKED: i32 = 6;
    pub(super) const READONLY: i32 = 8;
    pub(super) const IOERR: i32 = 10;
    pub(super) const FULL: i32 = 13;
    pub(super) const CANTOPEN: i32 = 14;
    pub(super) const PROTOCOL: i32 = 15;
    /// The index of the write-ahead log could not be extended.
    pub(super) const IOERR_SHMSIZE: i32 = IOERR | (19 << 8);
}

fn classify_database_error(error: &dyn DatabaseError) -> DatabaseFailure {
    if let Some(code) = sqlite_code(error) {
        if code == sqlite::IOERR_SHMSIZE {
            return DatabaseFailure::NoSpace;
        }
        return match code & 0xff {
            sqlite::FULL => DatabaseFailure::NoSpace,
            sqlite::BUSY
            | sqlite::LOCKED
            | sqlite::READONLY
            | sqlite::IOERR
            | sqlite::CANTOPEN
            | sqlite::PROTOCOL => DatabaseFailure::Unavailable,
            _ => DatabaseFailure::Defect,
        };
    }
    // https://www.postgresql.org/docs/current/errcodes-appendix.html
    match error.code().as_deref() {
        Some("53100") => DatabaseFailure::NoSpace,
        Some("57014") => DatabaseFailure::Timeout,
        // A read-only server; a shutdown; an I/O error.
        Some(READ_ONLY_SQLSTATE | "57P01" | "57P02" | "57P03" | "58030") => {
            DatabaseFailure::Unavailable
        }
        Some(code) if code.starts_with("08") || code.starts_with("53") => {
            DatabaseFailure::Unavailable
        }
        _ => DatabaseFailure::Defect,
    }
}

fn sqlite_code(error: &dyn DatabaseError) -> Option<i32> {
    error.try_downcast_ref::<SqliteError>()?;
    error.code()?.parse().ok()
}

fn database_error(error: &DbErr) -> Option<&dyn DatabaseError> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => error.as_database_error(),
        _ => None,
    }
}

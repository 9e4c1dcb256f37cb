//! Error reports and exit codes of programs: one sentence for the operator, and an exit code according to `sysexits.h`
//! of BSD.

use std::{
    error::Error,
    fmt,
    io::{self, Write as _},
    process::ExitCode,
};

use sea_orm_migration::sea_orm::{
    DbErr, RuntimeErr,
    sqlx::{self, error::DatabaseError},
};

use crate::SchemaError;

/// The error message of PgBouncer for a session parameter that it does not support.
const STARTUP_PARAMETER_MESSAGE: &str = "unsupported startup parameter";

/// The kind of a failure, which determines the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// 69: the database, the storage or the address to listen on is unavailable.
    Unavailable,
    /// 70: a defect of the program.
    Software,
    /// 73: a file or directory cannot be created.
    CannotCreate,
    /// 74: the disk is full or fails.
    Io,
    /// 75: the program was stopped before it had completed; a retry may succeed.
    Temporary,
    /// 77: an account lacks a permission, or a password is wrong.
    NoPermission,
    /// 78: a setting, the schema or the bucket is wrong.
    Configuration,
}

impl ExitKind {
    /// The exit code.
    pub fn code(self) -> u8 {
        match self {
            Self::Unavailable => 69,
            Self::Software => 70,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::Temporary => 75,
            Self::NoPermission => 77,
            Self::Configuration => 78,
        }
    }
}

/// A failure with a known kind.
#[derive(Debug)]
pub struct Failure {
    kind: ExitKind,
    sentence: String,
}

impl Failure {
    /// Creates a failure of a kind with a sentence for the operator.
    pub fn new(kind: ExitKind, sentence: impl Into<String>) -> Self {
        Self {
            kind,
            sentence: sentence.into(),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl Error for Failure {}

/// Reports to the operator why a program ends. Returns the exit code.
pub fn report(program: &str, error: &(dyn Error + 'static), kind: Option<ExitKind>) -> ExitCode {
    // A failure to write is ignored: standard error may be a file on the full disk that is being reported.
    let _ = writeln!(io::stderr(), "{program}: {}", sentence(error));
    let kind = kind.or_else(|| classify(error));
    ExitCode::from(kind.unwrap_or(ExitKind::Software).code())
}

/// Formats an error and its causes in one line, without repetitions.
fn sentence(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    for cause in causes(error).skip(1) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

/// The kind of an error: that of its first cause with a known kind.
pub fn classify(error: &(dyn Error + 'static)) -> Option<ExitKind> {
    causes(error).find_map(|cause| {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return Some(failure.kind);
        }
        if let Some(SchemaError::Behind(_) | SchemaError::Ahead(_)) = cause.downcast_ref() {
            return Some(ExitKind::Configuration);
        }
        if let Some(error) = cause.downcast_ref::<DbErr>() {
            return Some(classify_database_error(error));
        }
        cause.downcast_ref::<io::Error>().map(classify_io_error)
    })
}

/// Iterates over an error and its causes, outermost first.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'e (dyn Error + 'static)| {
        (*cause).source()
    })
}

fn classify_io_error(error: &io::Error) -> ExitKind {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            ExitKind::NoPermission
        }
        io::ErrorKind::NotFound
        | io::ErrorKind::NotADirectory
        | io::ErrorKind::IsADirectory
        | io::ErrorKind::AlreadyExists => ExitKind::CannotCreate,
        io::ErrorKind::AddrInUse
        | io::ErrorKind::AddrNotAvailable
        | io::ErrorKind::ConnectionRefused
        | io::ErrorKind::TimedOut => ExitKind::Unavailable,
        _ => ExitKind::Io,
    }
}

fn classify_database_error(error: &DbErr) -> ExitKind {
    if is_misconfigured(error) {
        return ExitKind::Configuration;
    }
    let Some(error) = database_error(error) else {
        return ExitKind::Unavailable;
    };
    match error.code().as_deref() {
        // PostgreSQL: invalid authorization, insufficient privilege; SQLite: a read-only file.
        Some("28000" | "28P01" | "42501" | "8") => ExitKind::NoPermission,
        // PostgreSQL: no such database, no such table.
        Some("3D000" | "42P01") => ExitKind::Configuration,
        // PostgreSQL: no space; SQLite: an I/O error, no space.
        Some("53100" | "10" | "13") => ExitKind::Io,
        // SQLite: the file cannot be opened.
        Some("14") => ExitKind::CannotCreate,
        _ => ExitKind::Unavailable,
    }
}

/// Whether the configuration is wrong, so that retries cannot succeed: the URL is invalid, or leads to a pooler that is
/// not configured.
pub fn is_misconfigured(error: &DbErr) -> bool {
    let is_about_url = matches!(
        sqlx_error(error),
        Some(sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) | sqlx::Error::InvalidArgument(_))
    );
    is_about_url
        || database_error(error)
            .is_some_and(|error| error.message().contains(STARTUP_PARAMETER_MESSAGE))
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error.as_ref()),
        _ => None,
    }
}

/// The error that the database returned, if it responded.
pub fn database_error(error: &DbErr) -> Option<&dyn DatabaseError> {
    match sqlx_error(error)? {
        sqlx::Error::Database(error) => Some(error.as_ref()),
        _ => None,
    }
}

/// Advice about a database that cannot be opened, as the end of a sentence. Empty if the error is clear by itself.
pub fn advice_about_database(error: &DbErr) -> &'static str {
    let text = error.to_string();
    if text.contains(STARTUP_PARAMETER_MESSAGE) || text.contains("prepared statement") {
        return "; with a transaction pooler, set MEDIA_DATABASE_POOLER=transaction for the programs, and run \
                media-migrate with the address of the server itself";
    }
    if is_misconfigured(error) {
        return "; check the URL";
    }
    match database_error(error)
        .and_then(sea_orm_migration::sea_orm::sqlx::error::DatabaseError::code)
        .as_deref()
    {
        Some("28000" | "28P01") => "; check the user and the password",
        Some("3D000") => "; create the database, or configure another one",
        Some("53100" | "13") => "; free some space on its disk and start again",
        Some("14") => "; check that its directory is writable",
        Some(_) => "",
        None => "; check that it runs at that address",
    }
}

//! The end of a program that cannot start or go on: one sentence for its operator, and an exit code by kind, as
//! `sysexits.h` of BSD numbers them.

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

/// What PgBouncer says to a client that wants a session set up.
const STARTUP_PARAMETER: &str = "unsupported startup parameter";

/// The kind of a failure, which decides the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExitKind {
    /// 69: the database, the storage or the address to listen on is not available.
    Unavailable,
    /// 70: a defect.
    Software,
    /// 73: a file or directory cannot be created.
    CannotCreate,
    /// 74: the disk is full or fails.
    Io,
    /// 75: it was ended before it was done; the same may work later.
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

/// A failure whose kind is known where it happens.
#[derive(Debug)]
pub struct Failure {
    kind: ExitKind,
    sentence: String,
}

impl Failure {
    /// A failure of a kind, told in a sentence.
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

/// Tells an operator why a program ends. Gives the exit code.
pub fn report(program: &str, error: &(dyn Error + 'static), kind: Option<ExitKind>) -> ExitCode {
    // Standard error may be a file on the full disk that is to be told of.
    let _ = writeln!(io::stderr(), "{program}: {}", sentence(error));
    let kind = kind.or_else(|| classify(error));
    ExitCode::from(kind.unwrap_or(ExitKind::Software).code())
}

/// An error and its causes in one line, without repetitions.
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

/// The kind of an error, by the first of its causes that has one.
pub fn classify(error: &(dyn Error + 'static)) -> Option<ExitKind> {
    causes(error).find_map(|cause| {
        if let Some(failure) = cause.downcast_ref::<Failure>() {
            return Some(failure.kind);
        }
        if let Some(SchemaError::Behind(_) | SchemaError::Ahead(_)) = cause.downcast_ref() {
            return Some(ExitKind::Configuration);
        }
        if let Some(error) = cause.downcast_ref::<DbErr>() {
            return Some(of_database(error));
        }
        cause.downcast_ref::<io::Error>().map(of_io)
    })
}

/// An error and its causes, outermost first.
pub fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    std::iter::successors(Some(error), |cause: &&'e (dyn Error + 'static)| {
        (*cause).source()
    })
}

fn of_io(error: &io::Error) -> ExitKind {
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

fn of_database(error: &DbErr) -> ExitKind {
    if is_misconfigured(error) {
        return ExitKind::Configuration;
    }
    let Some(error) = database_error(error) else {
        return ExitKind::Unavailable;
    };
    match error.code().as_deref() {
        // PostgreSQL: invalid authorization, insufficient privilege; SQLite: a file that is read only.
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

/// Whether the URL is wrong, or leads to a pooler that the program was not told of: no time will change that.
pub fn is_misconfigured(error: &DbErr) -> bool {
    let is_about_url = matches!(
        sqlx_error(error),
        Some(sqlx::Error::Configuration(_) | sqlx::Error::Tls(_) | sqlx::Error::InvalidArgument(_))
    );
    is_about_url
        || database_error(error).is_some_and(|error| error.message().contains(STARTUP_PARAMETER))
}

fn sqlx_error(error: &DbErr) -> Option<&sqlx::Error> {
    match error {
        DbErr::Conn(RuntimeErr::SqlxError(error))
        | DbErr::Exec(RuntimeErr::SqlxError(error))
        | DbErr::Query(RuntimeErr::SqlxError(error)) => Some(error.as_ref()),
        _ => None,
    }
}

/// The error of the database itself, if it answered.
pub fn database_error(error: &DbErr) -> Option<&dyn DatabaseError> {
    match sqlx_error(error)? {
        sqlx::Error::Database(error) => Some(error.as_ref()),
        _ => None,
    }
}

/// Advice about a database that cannot be opened, as the end of a sentence; nothing where the error says enough.
pub fn advice_about_database(error: &DbErr) -> &'static str {
    let text = error.to_string();
    if text.contains(STARTUP_PARAMETER) || text.contains("prepared statement") {
        return "; behind a pooler of transactions, set MEDIA_DATABASE_POOLER=transaction for the programs, and \
                give media-migrate the address of the server itself";
    }
    if is_misconfigured(error) {
        return "; check the URL";
    }
    match database_error(error)
        .and_then(sea_orm_migration::sea_orm::sqlx::error::DatabaseError::code)
        .as_deref()
    {
        Some("28000" | "28P01") => "; check the user and the password",
        Some("3D000") => "; create the database, or name another",
        Some("53100" | "13") => "; free some room on its disk and start again",
        Some("14") => "; check that its directory can be written to",
        Some(_) => "",
        None => "; check that it runs at that address",
    }
}

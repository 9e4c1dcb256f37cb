//! Invariants between the tables beyond their constraints: each media has a live blob, each live blob has a media, and
//! the usage of a project is the sum of its blobs. `media-migrate check` reports violations and repairs them.

use std::fmt;

use sea_orm_migration::sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, QueryResult, Statement,
};

use crate::begin;

/// The maximum number of reported violations of each kind.
const MAX_REPORTED_VIOLATIONS: u32 = 1000;

/// An invariant between the tables that can be violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ViolationKind {
    /// The usage of a project differs from the sum of its staged and live blobs.
    Usage,
    /// The charged size of a blob differs from the size of its media.
    Charge,
    /// A media has no live blob: its bytes are deleted, or will be.
    MediaWithoutBlob,
    /// A live blob has no media: its bytes are stored but unused.
    BlobWithoutMedia,
}

impl ViolationKind {
    const ALL: [Self; 4] = [
        Self::Charge,
        Self::MediaWithoutBlob,
        Self::BlobWithoutMedia,
        Self::Usage,
    ];

    fn meaning(self) -> &'static str {
        match self {
            Self::Usage => "usage of a project differs from the sum of its blobs",
            Self::Charge => "charged size of a blob differs from the size of its media",
            Self::MediaWithoutBlob => "media has no live blob",
            Self::BlobWithoutMedia => "live blob has no media",
        }
    }

    /// The query that finds the violations. Each row has one column, which describes the violation.
    fn query(self) -> &'static str {
        match self {
            Self::Usage => {
                "SELECT coalesce(u.project_id, b.project_id) || ': ' || coalesce(u.stored_bytes, 0) \
                   || ' counted, ' || coalesce(b.charged, 0) || ' charged' \
                 FROM project_usage u FULL JOIN ( \
                   SELECT project_id, CAST(sum(charged) AS bigint) AS charged FROM blobs \
                   WHERE project_id IS NOT NULL AND status IN ('staged', 'live') \
                   GROUP BY project_id) b ON b.project_id = u.project_id \
                 WHERE coalesce(u.stored_bytes, 0) <> coalesce(b.charged, 0)"
            }
            Self::Charge => {
                "SELECT m.resource || coalesce('/' || m.key, '') || ': ' || b.charged || ' charged, ' \
                   || m.size || ' stored' \
                 FROM medias m JOIN blobs b ON b.id = m.blob_id \
                 WHERE b.status = 'live' AND b.project_id IS NOT NULL AND b.charged <> m.size"
            }
            Self::MediaWithoutBlob => {
                "SELECT coalesce(m.project_id || ': ', '') || m.resource || coalesce('/' || m.key, '') \
                   || ': ' || coalesce(b.status, 'no') || ' blob' \
                 FROM medias m LEFT JOIN blobs b ON b.id = m.blob_id \
                 WHERE b.id IS NULL OR b.status <> 'live'"
            }
            Self::BlobWithoutMedia => {
                "SELECT b.storage_key FROM blobs b WHERE b.status = 'live' \
                 AND NOT EXISTS (SELECT 1 FROM medias m WHERE m.blob_id = b.id)"
            }
        }
    }

    /// The statements that repair violations.
    fn repairs(self) -> &'static [&'static str] {
        match self {
            Self::Charge => &[
                "UPDATE blobs SET charged = (SELECT m.size FROM medias m WHERE m.blob_id = blobs.id) \
                 WHERE status = 'live' AND project_id IS NOT NULL \
                   AND EXISTS (SELECT 1 FROM medias m WHERE m.blob_id = blobs.id)",
            ],
            // The bytes are deleted or may be deleted at any time, so the record is useless.
            Self::MediaWithoutBlob => &["DELETE FROM medias WHERE NOT EXISTS ( \
                   SELECT 1 FROM blobs b WHERE b.id = medias.blob_id AND b.status = 'live')"],
            // The collector removes the object.
            Self::BlobWithoutMedia => &[
                "UPDATE blobs SET status = 'garbage', collect_after = updated_at, expires_at = NULL \
                 WHERE status = 'live' \
                   AND NOT EXISTS (SELECT 1 FROM medias m WHERE m.blob_id = blobs.id)",
            ],
            Self::Usage => &[
                "DELETE FROM project_usage",
                "INSERT INTO project_usage (project_id, stored_bytes) \
                 SELECT project_id, CAST(sum(charged) AS bigint) FROM blobs \
                 WHERE project_id IS NOT NULL AND status IN ('staged', 'live') GROUP BY project_id",
            ],
        }
    }
}

/// A violation of an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The violated invariant.
    pub kind: ViolationKind,
    /// A human-readable description of the affected rows.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.meaning(), self.detail)
    }
}

/// Finds violations, at most 1,000 of each kind. Reads whole tables.
pub async fn find_violations(connection: &impl ConnectionTrait) -> Result<Vec<Violation>, DbErr> {
    let mut violations = Vec::new();
    for kind in ViolationKind::ALL {
        let sql = format!("{} LIMIT {MAX_REPORTED_VIOLATIONS}", kind.query());
        let query = Statement::from_string(connection.get_database_backend(), sql);
        let rows = connection.query_all_raw(query).await?;
        let details: Result<Vec<String>, DbErr> = rows.iter().map(text).collect();
        violations.extend(
            details?
                .into_iter()
                .map(|detail| Violation { kind, detail }),
        );
    }
    Ok(violations)
}

/// Repairs all violations in one transaction: charges and usages are recalculated, records without bytes are deleted,
/// and bytes without a record are left to the collector. Returns the violations that were found.
pub async fn repair(connection: &DatabaseConnection) -> Result<Vec<Violation>, DbErr> {
    let transaction = begin(connection).await?;
    if transaction.get_database_backend() == DatabaseBackend::Postgres {
        let lock = "LOCK TABLE blobs, medias, project_usage IN SHARE ROW EXCLUSIVE MODE";
        transaction.execute_unprepared(lock).await?;
    }
    let violations = find_violations(&transaction).await?;
    for statement in ViolationKind::ALL.iter().flat_map(|kind| kind.repairs()) {
        transaction.execute_unprepared(statement).await?;
    }
    transaction.commit().await?;
    Ok(violations)
}

fn text(row: &QueryResult) -> Result<String, DbErr> {
    row.try_get_by_index(0)
}

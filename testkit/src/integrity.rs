//! The invariants between the tables, which hold after every crash.

use std::path::Path;

use media_migrations::integrity;

/// Panics if an invariant is violated: the usage of a project differs from the sum of its blobs, a media has
/// no blob, or a live blob has no media.
pub async fn assert_whole(database_url: &str) {
    let database = sea_orm::Database::connect(database_url).await.unwrap();
    let violations = integrity::find_violations(&database).await.unwrap();
    database.close().await.unwrap();
    assert!(violations.is_empty(), "{violations:?}");
}

/// Does the same for an SQLite file.
pub async fn assert_file_whole(path: &Path) {
    assert_whole(&format!("sqlite://{}", path.display())).await;
}

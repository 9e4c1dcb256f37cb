//! The promises between the tables that hold after every test that kills or cuts something.

use std::path::Path;

use media_migrations::integrity;

/// Panics if promises between the tables do not hold: a project's usage that is not the sum of its blobs, a
/// media without a blob, a live blob without a media.
pub async fn assert_whole(database_url: &str) {
    let database = sea_orm::Database::connect(database_url).await.unwrap();
    let violations = integrity::find_violations(&database).await.unwrap();
    database.close().await.unwrap();
    assert!(violations.is_empty(), "{violations:?}");
}

/// The same for an SQLite file.
pub async fn assert_file_whole(path: &Path) {
    assert_whole(&format!("sqlite://{}", path.display())).await;
}

use std::{future::Future, pin::Pin};

use futures_util::future::join_all;
use sea_orm::ConnectionTrait as _;

use super::*;

struct TestFile {
    database: Database,
    _directory: tempfile::TempDir,
}

async fn open() -> TestFile {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("test.db");
    let database = Database::connect(&DatabaseUrl::Sqlite { path }, 1).await;
    let database = database.unwrap();
    let table = "CREATE TABLE numbers (number integer PRIMARY KEY, text text)";
    database.write_sql(table, []).await.unwrap();
    TestFile {
        database,
        _directory: directory,
    }
}

impl TestFile {
    /// Counts the committed rows through a separate connection.
    async fn count(&self) -> i64 {
        let sql = "SELECT count(*) FROM numbers";
        let statement = Statement::from_string(DatabaseBackend::Sqlite, sql);
        let connection = self.database.direct_connection().await.unwrap();
        let row = connection.query_one_raw(statement).await.unwrap();
        connection.close().await.unwrap();
        row.unwrap().try_get_by_index(0).unwrap()
    }

    async fn insert(&self, number: u32) -> Result<u64, DbErr> {
        let sql = "INSERT INTO numbers VALUES ($1, '')";
        self.database.write_sql(sql, [number.into()]).await
    }

    /// Inserts two numbers in one transaction.
    async fn insert_both(&self, numbers: [u32; 2]) -> Result<(), DbErr> {
        self.database
            .transaction(move |transaction| insert_each(transaction, numbers))
            .await
    }
}

fn insert_each(
    transaction: &Transaction,
    numbers: [u32; 2],
) -> Pin<Box<dyn Future<Output = Result<(), DbErr>> + Send + '_>> {
    Box::pin(async move {
        for number in numbers {
            let sql = format!("INSERT INTO numbers VALUES ({number}, '')");
            transaction.execute_unprepared(&sql).await?;
        }
        Ok(())
    })
}

/// Checks that `.cargo/config.toml` applies to this build.
#[tokio::test]
async fn sqlite_plans_do_not_depend_on_bound_values() {
    let test = open().await;
    let sql = "SELECT sqlite_compileoption_used('ENABLE_QPSG')";
    let statement = Statement::from_string(DatabaseBackend::Sqlite, sql);
    let row = test.database.reader().query_one_raw(statement).await;
    assert!(row.unwrap().unwrap().try_get_by_index::<bool>(0).unwrap());
}

#[tokio::test]
async fn units_are_committed_together_and_fail_independently() {
    let test = open().await;
    // Every third pair repeats a number of the previous pair, and is rolled back completely.
    let pairs = (0..60).map(|n| {
        let first = n * 2;
        let second = if n % 3 == 2 { first - 1 } else { first + 1 };
        test.insert_both([first, second])
    });
    let done = join_all(pairs).await;
    assert_eq!(done.iter().filter(|done| done.is_ok()).count(), 40);
    assert_eq!(test.count().await, 80);
    let singles = join_all([1, 1000, 1001].map(|number| test.insert(number))).await;
    assert_eq!(singles.iter().filter(|done| done.is_ok()).count(), 2);
    assert_eq!(test.count().await, 82);
}

#[tokio::test]
async fn a_unit_that_ignores_a_failed_statement_is_not_committed() {
    let test = open().await;
    test.insert(1).await.unwrap();
    let careless = test.database.transaction::<_, DbErr>(|transaction| {
        Box::pin(async move {
            insert_each(transaction, [2, 1]).await.unwrap_err();
            // Later statements are refused.
            let more = transaction.execute_unprepared("INSERT INTO numbers VALUES (3, '')");
            assert!(more.await.is_err());
            Ok(())
        })
    });
    assert!(careless.await.is_err());
    test.insert(4).await.unwrap();
    assert_eq!(test.count().await, 2);
}

#[tokio::test]
async fn a_unit_completes_after_its_caller_was_cancelled() {
    let test = open().await;
    let (begun, wait) = (Arc::new(tokio::sync::Notify::new()), begun_signal());
    let caller = {
        let (database, begun, wait) = (test.database.clone(), begun.clone(), wait.clone());
        tokio::spawn(async move {
            database
                .transaction::<_, DbErr>(move |transaction| {
                    let (begun, wait) = (begun.clone(), wait.clone());
                    Box::pin(async move {
                        insert_each(transaction, [1, 2]).await?;
                        begun.notify_one();
                        drop(wait.acquire().await);
                        insert_each(transaction, [3, 4]).await
                    })
                })
                .await
        })
    };
    begun.notified().await;
    caller.abort();
    assert!(caller.await.unwrap_err().is_cancelled());
    wait.add_permits(1);
    test.insert(5).await.unwrap();
    assert_eq!(test.count().await, 5);
}

fn begun_signal() -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(0))
}

#[tokio::test]
async fn a_unit_that_is_cancelled_before_it_begins_has_no_effect() {
    let test = open().await;
    let cancelled = test.insert(1);
    let (begins, ()) = tokio::join!(test.insert(2), async {
        let mut cancelled = std::pin::pin!(cancelled);
        // After one poll, the unit is queued behind the other one.
        std::future::poll_fn(|context| {
            assert!(cancelled.as_mut().poll(context).is_pending());
            std::task::Poll::Ready(())
        })
        .await;
    });
    begins.unwrap();
    test.insert(3).await.unwrap();
    assert_eq!(test.count().await, 2);
}

#[tokio::test]
async fn only_the_unit_that_exceeds_its_time_limit_is_rolled_back() {
    let test = open().await;
    let slow = test.database.within(Duration::from_millis(20));
    let slow = slow.transaction::<(), DbErr>(|transaction| {
        Box::pin(async move {
            insert_each(transaction, [1, 2]).await?;
            std::future::pending().await
        })
    });
    let (slow, other, another) = tokio::join!(slow, test.insert_both([3, 4]), test.insert(5));
    assert!(is_unavailable(&slow.unwrap_err()));
    other.unwrap();
    another.unwrap();
    assert_eq!(test.count().await, 3);
}

#[tokio::test]
async fn a_panic_fails_only_its_own_unit() {
    let test = open().await;
    let panics = test.database.transaction::<(), DbErr>(|transaction| {
        Box::pin(async move {
            insert_each(transaction, [1, 2]).await?;
            panic!("in the middle")
        })
    });
    let (panics, other) = tokio::join!(panics, test.insert_both([3, 4]));
    assert_eq!(classify(&panics.unwrap_err()), DatabaseFailure::Defect);
    other.unwrap();
    assert_eq!(test.count().await, 2);
}

/// SQLite itself rolls back the transaction when the disk is full. Writes that are acknowledged after that must be in
/// the file.
#[tokio::test]
async fn acknowledged_writes_are_not_lost_after_a_full_disk() {
    let test = open().await;
    // The limit applies only to this connection.
    let full = "PRAGMA max_page_count = 1";
    for round in 0..5 {
        test.database.write_sql(full, []).await.unwrap();
        let before = test.count().await;
        let filler = "x".repeat(20_000);
        let large = test.database.transaction::<_, DbErr>(move |transaction| {
            let sql = format!("INSERT INTO numbers VALUES ({}, '{filler}')", 1000 + round);
            Box::pin(async move {
                insert_each(transaction, [2000 + round, 3000 + round]).await?;
                transaction.execute_unprepared(&sql).await.map(drop)
            })
        });
        let small =
            join_all((0..4).map(|n| test.insert_both([round * 10 + n, 100 + round * 10 + n])));
        let (large, small) = tokio::join!(large, small);
        assert_eq!(classify(&large.unwrap_err()), DatabaseFailure::NoSpace);
        let small = small.iter().filter(|done| done.is_ok()).count();
        assert_eq!(
            test.count().await,
            before + 2 * i64::try_from(small).unwrap()
        );
        assert!(
            test.insert_both([5000 + round, 5000 + round])
                .await
                .is_err()
        );
        test.insert(4000 + round).await.unwrap();
        assert_eq!(
            test.count().await,
            before + 2 * i64::try_from(small).unwrap() + 1
        );
    }
}

#[tokio::test]
async fn a_commit_without_a_transaction_is_an_error() {
    let test = open().await;
    let unit = test.database.transaction::<_, DbErr>(|transaction| {
        Box::pin(async move {
            insert_each(transaction, [1, 2]).await?;
            // Simulates a rollback by SQLite itself.
            transaction.execute_unprepared("ROLLBACK").await.map(drop)
        })
    });
    assert!(unit.await.is_err());
    test.insert(3).await.unwrap();
    assert_eq!(test.count().await, 1);
}

#[tokio::test]
async fn times_are_stored_in_whole_microseconds() {
    let test = open().await;
    let time = chrono::DateTime::from_timestamp_nanos(1_800_000_000_123_456_789);
    let sql = "INSERT INTO numbers VALUES (1, $1)";
    test.database.write_sql(sql, [time.into()]).await.unwrap();
    let sql = "SELECT text FROM numbers WHERE text LIKE '%.123456+%'";
    let statement = Statement::from_string(DatabaseBackend::Sqlite, sql);
    let row = test.database.reader().query_one_raw(statement).await;
    assert!(row.unwrap().is_some());
}

#[tokio::test]
async fn only_one_program_can_open_a_file() {
    let test = open().await;
    let Engine::Sqlite { path, .. } = &test.database.engine else {
        panic!("a file");
    };
    let url = DatabaseUrl::Sqlite { path: path.clone() };
    let second = Database::connect(&url, 1).await.unwrap_err().to_string();
    assert!(second.contains("another program uses"), "{second}");
    test.database.close().await.unwrap();
    let third = Database::connect(&url, 1).await.unwrap();
    assert!(third.check_writable().await.is_ok());
}

#[tokio::test]
async fn a_reader_refuses_statements_that_write() {
    let test = open().await;
    let sql = "INSERT INTO numbers VALUES (1, '')";
    let statement = Statement::from_string(DatabaseBackend::Sqlite, sql);
    let reader = test.database.reader();
    assert!(reader.execute_raw(statement.clone()).await.is_err());
    assert!(reader.execute_unprepared(sql).await.is_err());
    assert!(reader.query_all_raw(statement).await.is_err());
    assert_eq!(test.count().await, 0);
}

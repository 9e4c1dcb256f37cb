//! Why the service does not use SeaORM's transactions: on SQLite, dropping a future while a nested
//! transaction begins rolls the enclosing transaction back, and its commit still answers `Ok`.
//!
//! sqlx rolls the savepoint back whose `begin` was dropped. SeaORM's `DatabaseTransaction` exists by then,
//! and its `Drop` sends another rollback, which meets the enclosing transaction. `commit` finds no transaction
//! and says nothing. Seen with SeaORM 2.0.4 on sqlx 0.9.0:
//!
//! ```sh
//! cargo run -p media-shared --example second_rollback
//! ```

#![expect(clippy::disallowed_methods, reason = "this is what it shows")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a demonstration")]

use std::{
    pin::pin,
    task::{Context, Waker},
    time::Duration,
};

use sea_orm::{
    ConnectOptions, ConnectionTrait as _, Database, DbErr, Statement, TransactionTrait as _,
};

/// The polls after which a future that begins a savepoint is dropped; which one meets the moment
/// depends on the machine.
const MAX_POLLS: usize = 4;

#[tokio::main]
async fn main() -> Result<(), DbErr> {
    let mut options = ConnectOptions::new("sqlite::memory:");
    options.max_connections(1).sqlx_logging(false);
    let database = Database::connect(options).await?;
    database
        .execute_unprepared("CREATE TABLE kept (number integer)")
        .await?;
    let mut lost = 0;
    for attempt in 0..1000 {
        let before = count(&database).await?;
        let outer = database.begin().await?;
        outer
            .execute_unprepared("INSERT INTO kept VALUES (1)")
            .await?;
        {
            let mut nested = pin!(outer.begin());
            for _ in 0..attempt % MAX_POLLS {
                let mut context = Context::from_waker(Waker::noop());
                if nested.as_mut().poll(&mut context).is_ready() {
                    break;
                }
                std::thread::sleep(Duration::from_micros(200));
            }
        }
        // Answers `Ok` in any case.
        outer.commit().await?;
        lost += i32::from(count(&database).await? == before);
    }
    println!("{lost} of 1000 commits answered Ok and kept nothing");
    Ok(())
}

async fn count(database: &impl sea_orm::ConnectionTrait) -> Result<i64, DbErr> {
    let sql = "SELECT count(*) FROM kept";
    let statement = Statement::from_string(database.get_database_backend(), sql);
    let row = database.query_one_raw(statement).await?;
    row.map_or(Ok(0), |row| row.try_get_by_index(0))
}

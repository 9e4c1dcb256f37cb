//! Connections for statements that only read.

use std::ops::ControlFlow;

use async_trait::async_trait;
use futures_util::TryStreamExt as _;
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, ExecResult, QueryResult,
    Statement, StreamTrait as _,
};

use super::{postgres::Pool, transaction::internal};

/// The connections for reading. They refuse statements that write, so that a cancelled caller leaves nothing to roll
/// back.
#[derive(Clone, Debug)]
pub struct Reader(Source);

#[derive(Clone, Debug)]
enum Source {
    /// Statements are sent without a transaction.
    Direct(DatabaseConnection),
    /// Each statement has its own transaction, as a transaction pooler requires.
    Pooler(Pool),
}

impl Reader {
    pub(super) fn direct(connection: DatabaseConnection) -> Self {
        Self(Source::Direct(connection))
    }

    pub(super) fn postgres(pool: Pool) -> Self {
        if pool.keeps_sessions() {
            Self::direct(pool.into_connection())
        } else {
            Self(Source::Pooler(pool))
        }
    }

    /// Runs a statement and visits its rows one by one, until `visit` breaks.
    pub(crate) async fn visit_rows(
        &self,
        statement: Statement,
        mut visit: impl FnMut(QueryResult) -> Result<ControlFlow<()>, DbErr>,
    ) -> Result<(), DbErr> {
        match &self.0 {
            Source::Direct(connection) => {
                let mut rows = connection.stream_raw(statement).await?;
                while let Some(row) = rows.try_next().await? {
                    if visit(row)?.is_break() {
                        break;
                    }
                }
                Ok(())
            }
            Source::Pooler(pool) => {
                // Boxed, since the futures of callers have the size of the larger branch.
                let reading = async {
                    let transaction = pool.begin_read().await?;
                    let done = transaction.visit_rows(&statement, visit).await;
                    pool.end_read(transaction).await;
                    done
                };
                Box::pin(reading).await
            }
        }
    }

    pub(super) async fn close(self) -> Result<(), DbErr> {
        match self.0 {
            Source::Direct(connection) => connection.close().await,
            Source::Pooler(pool) => pool.into_connection().close().await,
        }
    }
}

#[async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DatabaseBackend {
        match &self.0 {
            Source::Direct(connection) => connection.get_database_backend(),
            Source::Pooler(_) => DatabaseBackend::Postgres,
        }
    }

    async fn execute_raw(&self, _: Statement) -> Result<ExecResult, DbErr> {
        Err(read_only())
    }

    async fn execute_unprepared(&self, _: &str) -> Result<ExecResult, DbErr> {
        Err(read_only())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        match &self.0 {
            Source::Direct(connection) => connection.query_one_raw(statement).await,
            Source::Pooler(_) => Ok(self.query_all_raw(statement).await?.into_iter().next()),
        }
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        match &self.0 {
            Source::Direct(connection) => connection.query_all_raw(statement).await,
            Source::Pooler(pool) => {
                let transaction = pool.begin_read().await?;
                let rows = transaction.query_all_raw(statement).await;
                pool.end_read(transaction).await;
                rows
            }
        }
    }
}

fn read_only() -> DbErr {
    internal("this connection is read-only; write with Database::write or Database::transaction")
}

//! Reading: statements outside any unit of work.

use std::pin::Pin;

use async_trait::async_trait;
use sea_orm::{
    ConnectionTrait, DatabaseBackend, DatabaseConnection, DbErr, ExecResult, QueryResult,
    QueryStream, Statement, StreamTrait,
};

use super::transaction::internal;

/// The connections that read. They begin no transaction and run no statement that writes: a caller that goes
/// away in the middle of one leaves nothing behind.
#[derive(Clone, Debug)]
pub struct Reader(pub(super) DatabaseConnection);

#[async_trait]
impl ConnectionTrait for Reader {
    fn get_database_backend(&self) -> DatabaseBackend {
        self.0.get_database_backend()
    }

    async fn execute_raw(&self, _: Statement) -> Result<ExecResult, DbErr> {
        Err(reads_only())
    }

    async fn execute_unprepared(&self, _: &str) -> Result<ExecResult, DbErr> {
        Err(reads_only())
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        self.0.query_one_raw(statement).await
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        self.0.query_all_raw(statement).await
    }
}

impl StreamTrait for Reader {
    type Stream<'a> = QueryStream;

    fn get_database_backend(&self) -> DatabaseBackend {
        ConnectionTrait::get_database_backend(self)
    }

    fn stream_raw<'a>(
        &'a self,
        statement: Statement,
    ) -> Pin<Box<dyn Future<Output = Result<QueryStream, DbErr>> + 'a + Send>> {
        self.0.stream_raw(statement)
    }
}

fn reads_only() -> DbErr {
    internal(
        "this connection reads only; writes are units of work (Database::write, ::transaction)",
    )
}

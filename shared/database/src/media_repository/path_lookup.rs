//! Lookups of several paths in one statement: for small downloads, the round trip to the database is the largest cost.

use std::collections::HashSet;

use chrono::{DateTime, Utc};
use sea_orm::{
    ConnectionTrait as _, DbErr, FromQueryResult as _, QueryFilter as _, QueryOrder as _,
    QuerySelect as _, QueryTrait as _, Select,
    sea_query::{Asterisk, Query, SelectStatement, UnionType},
};

use super::{at, unexpired};
use crate::{Database, entities::media};
use media_domain::media::MediaPath;

/// The first two media at each path that are not expired, of all projects. Either all paths have a key, or none has.
pub(super) async fn first_two_at_each(
    database: Database,
    paths: Vec<MediaPath>,
    now: DateTime<Utc>,
) -> Result<Vec<Vec<media::Model>>, DbErr> {
    // Several callers may look up the same path.
    let different: HashSet<&MediaPath> = paths.iter().collect();
    let mut branches: Vec<SelectStatement> =
        different.iter().map(|path| branch(path, now)).collect();
    let Some(last) = branches.last().cloned() else {
        return Ok(Vec::new());
    };
    // The database plans a statement for each size, so there should be few sizes: the last path is repeated.
    branches.resize(branches.len().next_power_of_two(), last);
    let mut all = branches.remove(0);
    for branch in branches {
        all.union(UnionType::All, branch);
    }
    let all = database.backend().build(&all);
    let rows = database.reader().query_all_raw(all).await?;
    let rows: Result<Vec<media::Model>, DbErr> = rows
        .iter()
        .map(|row| media::Model::from_query_result(row, ""))
        .collect();
    let mut rows = rows?;
    rows.sort_by_key(|row| row.id);
    rows.dedup_by_key(|row| row.id);
    let at_path = |path: &MediaPath| {
        let is_at = |row: &&media::Model| {
            row.resource == path.resource() && row.key.as_deref() == path.key()
        };
        rows.iter().filter(is_at).cloned().collect()
    };
    Ok(paths.iter().map(at_path).collect())
}

/// Two media at one path, as a subquery: a limit would apply to the whole union.
fn branch(path: &MediaPath, now: DateTime<Utc>) -> SelectStatement {
    let two: Select<media::Entity> = at(path).filter(unexpired(now));
    let two = two.order_by_asc(media::Column::Id).limit(2);
    Query::select()
        .column(Asterisk)
        .from_subquery(two.into_query(), "two")
        .to_owned()
}

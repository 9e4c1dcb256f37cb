//! Looking up paths, several at once: where many download small files, the way to the database and back is
//! most of what each costs.

use std::collections::HashSet;

use sea_orm::{
    ConnectionTrait as _, DbErr, FromQueryResult as _, QueryOrder as _, QuerySelect as _,
    QueryTrait as _, Select,
    sea_query::{Asterisk, Query, SelectStatement, UnionType},
};

use super::at;
use crate::{database::Database, entities::media, media::MediaPath};

/// The first two media at each path, of whichever projects. The paths are all of one kind: with a key, or
/// without.
pub(super) async fn first_two_at_each(
    database: Database,
    paths: Vec<MediaPath>,
) -> Result<Vec<Vec<media::Model>>, DbErr> {
    // Many may want the same.
    let different: HashSet<&MediaPath> = paths.iter().collect();
    let mut branches: Vec<SelectStatement> = different.iter().map(|path| branch(path)).collect();
    let Some(last) = branches.last().cloned() else {
        return Ok(Vec::new());
    };
    // The database plans a statement for each size, so there should be few: some ask for the last again.
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

/// Two of one path, in a statement of their own: a limit belongs to a whole union.
fn branch(path: &MediaPath) -> SelectStatement {
    let two: Select<media::Entity> = at(path).order_by_asc(media::Column::Id).limit(2);
    Query::select()
        .column(Asterisk)
        .from_subquery(two.into_query(), "two")
        .to_owned()
}

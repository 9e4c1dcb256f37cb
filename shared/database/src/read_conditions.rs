//! Permissions as SQL: the conditions on the column that names a record's project.

use media_domain::permissions::{ProjectSelector, ReadScope};
use sea_orm::{ColumnTrait, Condition};

/// The rows that a caller may read.
pub fn read_condition<C: ColumnTrait>(scope: &ReadScope, project: C) -> Condition {
    match scope {
        ReadScope::All => Condition::all(),
        ReadScope::Projects(readable) => Condition::all().add(project.is_in(readable)),
    }
}

/// The rows of the project that a request asks for.
pub fn project_condition<C: ColumnTrait>(selector: &ProjectSelector, project: C) -> Condition {
    let all = Condition::all();
    match selector {
        ProjectSelector::Any => all,
        ProjectSelector::Unassigned => all.add(project.is_null()),
        ProjectSelector::Project(name) => all.add(project.eq(name)),
    }
}

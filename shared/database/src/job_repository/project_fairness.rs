//! The fairness of claims between projects: each slot goes to the project with the fewest running jobs of those that
//! have pending ones, and among equals to the one from which this worker has claimed the longest ago. Priority orders
//! the jobs within a project.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use sea_orm::{ConnectionTrait as _, DatabaseBackend, DbErr, Statement};

use crate::Database;

/// The most projects that one claim considers. If more have pending jobs, they take turns.
const MAX_PROJECTS: usize = 32;
/// The limit to which the running jobs of a project are counted.
const MAX_COUNTED: i64 = 64;
/// The time for which the counts are used. A new project waits no longer than that.
const COUNTS_TTL: Duration = Duration::from_millis(100);

/// The projects that may use a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SlotUse {
    /// All.
    AnyProject,
    /// Those with fewer running jobs than this, in all workers together.
    FewerRunningThan(u32),
}

/// A project with pending jobs, and the number of its running ones. The empty name stands for no project.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Waiting {
    project: String,
    running: i64,
    /// The turn in which a job of it was last claimed; 0 if that is long ago.
    served: u64,
}

/// The projects with pending jobs, as they were last found.
#[derive(Debug, Default)]
pub(super) struct WaitingProjects {
    found: Vec<Waiting>,
    found_at: Option<Instant>,
    /// The project after which to look next, if there are more than one claim considers.
    after: Option<String>,
    /// The number of claimed jobs.
    turn: u64,
}

impl WaitingProjects {
    /// Refreshes the counts if they are too old. Returns whether it did.
    pub(super) async fn refresh(&mut self, database: &Database) -> Result<bool, DbErr> {
        let is_current = |at: Instant| at.elapsed() < COUNTS_TTL;
        if self.found_at.is_some_and(is_current) {
            return Ok(false);
        }
        self.look(database).await?;
        Ok(true)
    }

    /// The number of jobs to claim from each project, for a number of slots.
    pub(super) fn shares(&mut self, slots: usize, slot_use: SlotUse) -> Vec<(String, usize)> {
        share(&mut self.found, &mut self.turn, slots, slot_use)
    }

    /// Makes the next claim refresh the counts.
    pub(super) fn forget(&mut self) {
        self.found_at = None;
    }

    async fn look(&mut self, database: &Database) -> Result<(), DbErr> {
        let after = self.after.take();
        let mut found = find(database, after.as_deref()).await?;
        if found.is_empty() && after.is_some() {
            found = find(database, None).await?;
        }
        for waiting in &mut found {
            let before = self
                .found
                .iter()
                .find(|seen| seen.project == waiting.project);
            waiting.served = before.map_or(0, |seen| seen.served);
        }
        self.found = found;
        if self.found.len() == MAX_PROJECTS {
            self.after = self.found.last().map(|last| last.project.clone());
        }
        self.found_at = Some(Instant::now());
        Ok(())
    }
}

/// The projects with pending jobs, by name: each is found by one step through the index.
async fn find(database: &Database, after: Option<&str>) -> Result<Vec<Waiting>, DbErr> {
    let backend = database.backend();
    // SQLite keeps no statistics, and would read all pending jobs.
    let by_project = match backend {
        DatabaseBackend::Sqlite => "INDEXED BY jobs_claim",
        _ => "",
    };
    let next = |condition: &str| {
        format!(
            "SELECT coalesce(project_id, '') AS project FROM jobs {by_project} \
             WHERE status = 'pending' {condition} ORDER BY coalesce(project_id, '') LIMIT 1"
        )
    };
    let (first, values) = match after {
        Some(after) => (
            next("AND coalesce(project_id, '') > $1"),
            vec![after.into()],
        ),
        None => (next(""), Vec::new()),
    };
    let step = next("AND coalesce(project_id, '') > waiting.project");
    let sql = format!(
        "WITH RECURSIVE waiting (project) AS ( \
           SELECT project FROM ({first}) AS first \
           UNION ALL SELECT ({step}) FROM waiting WHERE waiting.project IS NOT NULL) \
         SELECT waiting.project AS project, ( \
           SELECT count(*) FROM (SELECT 1 FROM jobs WHERE status = 'running' \
             AND coalesce(project_id, '') = waiting.project LIMIT {MAX_COUNTED}) AS counted) AS running \
         FROM waiting WHERE waiting.project IS NOT NULL LIMIT {MAX_PROJECTS}"
    );
    let find = Statement::from_sql_and_values(backend, sql, values);
    let rows = database.reader().query_all_raw(find).await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                project: row.try_get("", "project")?,
                running: row.try_get("", "running")?,
                served: 0,
            })
        })
        .collect()
}

/// Gives each slot to the project with the fewest running jobs, counting those that it is given here.
fn share(
    found: &mut [Waiting],
    turn: &mut u64,
    slots: usize,
    slot_use: SlotUse,
) -> Vec<(String, usize)> {
    let mut shares = BTreeMap::<String, usize>::new();
    for _ in 0..slots {
        let fewest = found
            .iter_mut()
            .min_by_key(|waiting| (waiting.running, waiting.served));
        let Some(fewest) = fewest.filter(|waiting| slot_use.is_for(waiting.running)) else {
            break;
        };
        fewest.running += 1;
        *turn += 1;
        fewest.served = *turn;
        *shares.entry(fewest.project.clone()).or_default() += 1;
    }
    shares.into_iter().collect()
}

impl SlotUse {
    fn is_for(self, running: i64) -> bool {
        match self {
            Self::AnyProject => true,
            Self::FewerRunningThan(most) => running < i64::from(most),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(running: &[(&str, i64)], slots: usize, slot_use: SlotUse) -> Vec<(String, usize)> {
        let mut found: Vec<Waiting> = running
            .iter()
            .map(|&(project, running)| Waiting {
                project: project.to_owned(),
                running,
                served: 0,
            })
            .collect();
        share(&mut found, &mut 0, slots, slot_use)
    }

    #[test]
    fn slots_go_to_the_projects_with_the_fewest_running_jobs() {
        let own = |project: &str, share| (project.to_owned(), share);
        let any = SlotUse::AnyProject;
        assert_eq!(shares(&[], 4, any), []);
        assert_eq!(shares(&[("a", 60)], 4, any), [own("a", 4)]);
        assert_eq!(
            shares(&[("a", 2), ("b", 0)], 4, any),
            [own("a", 1), own("b", 3)]
        );
        assert_eq!(
            shares(&[("a", 8), ("b", 8), ("c", 0)], 4, any),
            [own("c", 4)]
        );
        let new = SlotUse::FewerRunningThan(1);
        assert_eq!(shares(&[("a", 8), ("b", 0)], 4, new), [own("b", 1)]);
        assert_eq!(shares(&[("a", 8), ("b", 1)], 4, new), []);
    }

    #[test]
    fn equals_take_turns() {
        let mut turn = 0;
        let mut found: Vec<Waiting> = ["a", "b", "c"]
            .map(|project| Waiting {
                project: project.to_owned(),
                running: 0,
                served: 0,
            })
            .into();
        let mut taken = String::new();
        for _ in 0..6 {
            for (project, _) in share(&mut found, &mut turn, 1, SlotUse::AnyProject) {
                taken += &project;
                // It ends at once.
                for waiting in &mut found {
                    waiting.running = 0;
                }
            }
        }
        assert_eq!(taken, "abcabc");
    }
}

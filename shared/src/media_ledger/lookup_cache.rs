//! What was found at paths, for as long as nothing has been written since: files that many ask for are
//! looked up once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::{entities::media, media::MediaPath};

/// The most paths; with one more, all are forgotten.
const MOST: usize = 1024;
/// After which time all are forgotten: somebody may write to the file of the tables with a tool of their own.
const LONGEST: Duration = Duration::from_secs(1);

/// Media by their paths.
#[derive(Clone, Debug, Default)]
pub(super) struct LookupCache(Arc<Mutex<Findings>>);

#[derive(Debug)]
struct Findings {
    /// How many commits there had been before the first of them was looked up.
    commits: u64,
    begun: Instant,
    at: HashMap<MediaPath, Vec<media::Model>>,
}

impl Default for Findings {
    fn default() -> Self {
        Self {
            commits: 0,
            begun: Instant::now(),
            at: HashMap::new(),
        }
    }
}

impl LookupCache {
    /// What was found at a path, if no more than so many commits were made since.
    pub(super) fn at(&self, path: &MediaPath, commits: u64) -> Option<Vec<media::Model>> {
        let findings = self.findings();
        let is_current = findings.commits == commits && findings.begun.elapsed() < LONGEST;
        is_current.then(|| findings.at.get(path).cloned()).flatten()
    }

    /// Remembers what was found after so many commits, all of which the look-up could see.
    pub(super) fn note(&self, path: MediaPath, found: Vec<media::Model>, commits: u64) {
        let mut findings = self.findings();
        if findings.commits > commits {
            return;
        }
        let is_full = findings.at.len() >= MOST;
        if findings.commits < commits || is_full || findings.begun.elapsed() >= LONGEST {
            *findings = Findings {
                commits,
                ..Findings::default()
            };
        }
        findings.at.insert(path, found);
    }

    fn findings(&self) -> MutexGuard<'_, Findings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(n: usize) -> MediaPath {
        MediaPath::new(&format!("r{n}"), None).unwrap()
    }

    #[test]
    fn a_commit_makes_all_forgotten_and_so_do_too_many() {
        let cache = LookupCache::default();
        assert_eq!(cache.at(&path(0), 0), None);
        cache.note(path(0), Vec::new(), 7);
        cache.note(path(1), Vec::new(), 7);
        assert_eq!(cache.at(&path(0), 7), Some(Vec::new()));
        assert_eq!(cache.at(&path(1), 7), Some(Vec::new()));
        assert_eq!(cache.at(&path(0), 8), None);
        // A look-up that was overtaken by a commit.
        cache.note(path(2), Vec::new(), 6);
        assert_eq!(cache.at(&path(2), 7), None);
        cache.note(path(3), Vec::new(), 8);
        assert_eq!(cache.at(&path(0), 8), None);

        for n in 0..=MOST {
            cache.note(path(n), Vec::new(), 9);
        }
        assert_eq!(cache.findings().at.len(), 1);
    }
}

//! A cache of lookups, valid until the next commit: media that many clients ask for are looked up once.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use crate::entities::media;
use media_domain::media::MediaPath;

/// The most cached paths. One more clears the cache.
const MAX_CACHED_PATHS: usize = 1024;
/// The time after which the cache is cleared: another tool may have written to the SQLite file.
const LOOKUP_CACHE_TTL: Duration = Duration::from_secs(1);

/// The cache. Clones share it.
#[derive(Clone, Debug, Default)]
pub(super) struct LookupCache(Arc<Mutex<Entries>>);

#[derive(Debug)]
struct Entries {
    /// The number of commits before the first of these lookups.
    commits: u64,
    begun: Instant,
    at: HashMap<MediaPath, Vec<media::Model>>,
}

impl Default for Entries {
    fn default() -> Self {
        Self {
            commits: 0,
            begun: Instant::now(),
            at: HashMap::new(),
        }
    }
}

impl LookupCache {
    /// The cached media at a path, if there were no commits beyond this number since.
    pub(super) fn get(&self, path: &MediaPath, commits: u64) -> Option<Vec<media::Model>> {
        let entries = self.entries();
        let is_current = entries.commits == commits && entries.begun.elapsed() < LOOKUP_CACHE_TTL;
        is_current.then(|| entries.at.get(path).cloned()).flatten()
    }

    /// Caches a lookup that saw this number of commits.
    pub(super) fn insert(&self, path: MediaPath, found: Vec<media::Model>, commits: u64) {
        let mut entries = self.entries();
        if entries.commits > commits {
            return;
        }
        let is_full = entries.at.len() >= MAX_CACHED_PATHS;
        if entries.commits < commits || is_full || entries.begun.elapsed() >= LOOKUP_CACHE_TTL {
            *entries = Entries {
                commits,
                ..Entries::default()
            };
        }
        entries.at.insert(path, found);
    }

    fn entries(&self) -> MutexGuard<'_, Entries> {
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
    fn a_commit_clears_the_cache_and_so_do_too_many_paths() {
        let cache = LookupCache::default();
        assert_eq!(cache.get(&path(0), 0), None);
        cache.insert(path(0), Vec::new(), 7);
        cache.insert(path(1), Vec::new(), 7);
        assert_eq!(cache.get(&path(0), 7), Some(Vec::new()));
        assert_eq!(cache.get(&path(1), 7), Some(Vec::new()));
        assert_eq!(cache.get(&path(0), 8), None);
        // A commit overtook this lookup.
        cache.insert(path(2), Vec::new(), 6);
        assert_eq!(cache.get(&path(2), 7), None);
        cache.insert(path(3), Vec::new(), 8);
        assert_eq!(cache.get(&path(0), 8), None);

        for n in 0..=MAX_CACHED_PATHS {
            cache.insert(path(n), Vec::new(), 9);
        }
        assert_eq!(cache.entries().at.len(), 1);
    }
}

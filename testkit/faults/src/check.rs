//! The independent check of the tables, the stored bytes and the origin's files. It uses no code of the
//! service.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    path::Path,
    sync::Arc,
};

use reqwest::StatusCode;
use sha2::{Digest as _, Sha256};

use crate::{
    imports::AllPosted,
    interruptions::{Ending, Interrupted},
    origin::Origin,
    storage::Storage,
    tables::{Job, MediaKey, StoredMedia},
};

/// The content of the tables, to be compared with the answers that clients received.
pub(crate) struct Expected<'a> {
    pub(crate) jobs: &'a HashMap<String, Job>,
    pub(crate) kept: &'a HashMap<MediaKey, StoredMedia>,
    pub(crate) origin: &'a Arc<Origin>,
}

impl Expected<'_> {
    /// Checks every acknowledged job: it exists, has ended as expected, and has exactly one media if it
    /// succeeded, written by its last attempt. Also checks that one unicity has one job.
    pub(crate) fn check_posted(&self, posted: &AllPosted) -> Vec<String> {
        let mut broken = Vec::new();
        for asked in &posted.jobs {
            let Some(job) = self.jobs.get(&asked.id) else {
                broken.push(format!("an accepted job is lost: {asked:?}"));
                continue;
            };
            let is_there = self.origin.bytes(asked.file).is_some();
            let is_right = match (job.status.as_str(), asked.cancel) {
                ("cancelled", _) => asked.was_to_be_cancelled,
                (_, Some(StatusCode::OK)) => false,
                ("succeeded", _) => is_there,
                ("failed", _) => !is_there && job.error.as_deref() == Some("origin_not_found"),
                _ => false,
            };
            if !is_right {
                broken.push(format!("{asked:?} is {} {:?}", job.status, job.error));
            }
            let place = (asked.resource.clone(), None);
            broken.extend(self.check_media(job, &place, asked.file));
        }
        let given: HashSet<&String> = posted.same_unicity.iter().collect();
        if given.len() > 1 {
            broken.push(format!("several jobs hold one unicity: {given:?}"));
        }
        broken
    }

    /// Checks that every interrupted import has ended as its client was told.
    pub(crate) fn check_interrupted(&self, interrupted: &[Interrupted]) -> Vec<String> {
        let mut broken = Vec::new();
        for asked in interrupted {
            let job = self.jobs.get(&asked.id);
            let status = job.map(|job| job.status.as_str());
            let is_right = match asked.ending {
                Ending::Deleted => status.is_none(),
                Ending::Cancelled => status == Some("cancelled"),
                Ending::CancelledOrSucceeded => {
                    matches!(status, Some("cancelled" | "succeeded"))
                }
                Ending::Succeeded => status == Some("succeeded"),
                Ending::Any => matches!(status, None | Some("cancelled" | "succeeded")),
            };
            if !is_right {
                let error = job.and_then(|job| job.error.as_ref());
                broken.push(format!("{asked:?} is {status:?} {error:?}"));
            }
            let resource = asked.key.rsplit_once('-').map(|(resource, _)| resource);
            let place = (resource.unwrap().to_owned(), Some(asked.key.clone()));
            match job {
                Some(job) => broken.extend(self.check_media(job, &place, asked.file)),
                None => broken.extend(self.check_bytes(&place, asked.file)),
            }
        }
        broken
    }

    /// Checks that a job has a media if and only if it succeeded, and that its last attempt wrote it.
    fn check_media(&self, job: &Job, place: &MediaKey, file: usize) -> Option<String> {
        let media = self.kept.get(place);
        if media.is_some() != (job.status == "succeeded") {
            let there = media.map_or("not there", |_| "there");
            return Some(format!("{} is {}, its media {there}", job.id, job.status));
        }
        let writer = media.map(|media| (media.job_id.map(|id| id.to_string()), media.attempt));
        let last = (Some(job.id.clone()), Some(job.attempt));
        if writer.as_ref().is_some_and(|writer| *writer != last) {
            return Some(format!("{place:?} was written by {writer:?}, not {last:?}"));
        }
        self.check_bytes(place, file)
    }

    /// Checks that an imported media has the bytes of its file.
    fn check_bytes(&self, place: &MediaKey, file: usize) -> Option<String> {
        let media = self.kept.get(place)?;
        let bytes = self.origin.bytes(file).unwrap_or_default();
        let is_same = media.sha256 == hex::encode(Sha256::digest(bytes));
        (!is_same).then(|| format!("{place:?} has other bytes than the origin"))
    }
}

/// The content of storage.
#[derive(Default)]
pub(crate) struct Stored {
    pub(crate) objects: usize,
    pub(crate) bytes: u64,
    pub(crate) broken: Vec<String>,
}

/// Checks that storage holds the bytes of every media as recorded, and nothing else except abandoned objects,
/// which the collector will delete.
pub(crate) async fn check_storage(
    storage: &Storage<'_>,
    kept: &HashMap<MediaKey, StoredMedia>,
    given_up: &HashSet<String>,
) -> Stored {
    let mut stored = Stored::default();
    for key in storage.unfinished().await {
        if !given_up.contains(&key) {
            stored
                .broken
                .push(format!("the incomplete object {key} belongs to no blob"));
        }
    }
    let objects = storage.objects().await;
    let mut owned: HashSet<&str> = HashSet::new();
    for (place, media) in kept {
        let (Some("live"), Some(key)) = (media.status.as_deref(), media.storage_key.as_deref())
        else {
            let status = &media.status;
            stored
                .broken
                .push(format!("{place:?} has a blob that is {status:?}"));
            continue;
        };
        owned.insert(key);
        let size = objects.get(key).copied();
        if size != u64::try_from(media.size).ok() {
            let recorded = media.size;
            stored.broken.push(format!(
                "{place:?} has {size:?} bytes instead of {recorded}"
            ));
            continue;
        }
        let bytes = storage.bytes(key).await;
        if hex::encode(Sha256::digest(&bytes)) != media.sha256 {
            stored.broken.push(format!(
                "the bytes of {place:?} do not match the recorded digest"
            ));
        }
        stored.objects += 1;
        stored.bytes += bytes.len() as u64;
    }
    for key in objects.keys() {
        if !owned.contains(key.as_str()) && !given_up.contains(key) {
            stored
                .broken
                .push(format!("the object {key} belongs to no media"));
        }
    }
    stored
}

/// Counts jobs by status.
pub(crate) fn statuses(jobs: &HashMap<String, Job>) -> BTreeMap<String, usize> {
    let mut statuses = BTreeMap::new();
    for job in jobs.values() {
        *statuses.entry(job.status.clone()).or_default() += 1;
    }
    statuses
}

/// Counts jobs by their number of attempts.
pub(crate) fn attempts(jobs: &HashMap<String, Job>) -> BTreeMap<i32, usize> {
    let mut attempts = BTreeMap::new();
    for job in jobs.values() {
        *attempts.entry(job.attempt).or_default() += 1;
    }
    attempts
}

/// Counts of events that only the logs show.
#[derive(Debug, Default)]
pub(crate) struct Logs {
    pub(crate) refused_writes: usize,
    pub(crate) rescued: usize,
    pub(crate) handed_back: usize,
    pub(crate) panics: Vec<String>,
}

impl Logs {
    /// Counts the events in the logs of a directory.
    pub(crate) fn read(directory: &Path) -> Self {
        let mut logs = Self::default();
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let log = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
            let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
            logs.refused_writes +=
                count("a past attempt was refused") + count("stopped: the lease is lost");
            logs.rescued += count("rescued a job whose worker was lost");
            logs.handed_back += count("released the job");
            let panics = log.lines().filter(|line| line.contains("panicked"));
            logs.panics.extend(panics.map(str::to_owned));
        }
        logs
    }
}

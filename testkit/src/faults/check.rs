//! The independent check: what the tables, the bucket and the origin's files say, read without any
//! code of the service.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    path::Path,
    time::{Duration, SystemTime},
};

use chrono::{DateTime, Utc};
use reqwest::StatusCode;
use sea_orm::{ConnectionTrait as _, DatabaseConnection, QueryResult, Statement};
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use super::load::{AllPosted, Load};
use crate::production::{PREFIX, Production};

/// A claim round: a job that waits this long is seen by every claim.
const CLAIM_ROUND: chrono::TimeDelta = chrono::TimeDelta::seconds(1);
/// How long after an outage a delayed statement may still arrive: a pool waits that long for a
/// connection.
const AFTERMATH: Duration = Duration::from_secs(6);

/// What was found; whatever should not be has panicked before.
#[derive(Debug, Default)]
pub(super) struct Findings {
    answered: usize,
    unanswered: usize,
    statuses: BTreeMap<String, usize>,
    attempts: BTreeMap<i32, usize>,
    objects: usize,
    bytes: u64,
    pairs: usize,
    pub(super) refused_writes: usize,
    rescued: usize,
    handed_back: usize,
}

/// A row of `jobs`.
struct Job {
    id: String,
    status: String,
    priority: i16,
    attempt: i32,
    error: Option<String>,
    created_at: DateTime<Utc>,
    started_at: Option<DateTime<Utc>>,
}

/// A media with its blob.
struct Kept {
    resource: String,
    size: i64,
    sha256: String,
    status: String,
    storage_key: String,
    job_id: Option<Uuid>,
    attempt: Option<i32>,
}

pub(super) async fn check(
    production: &Production,
    database: &DatabaseConnection,
    load: &Load,
    posted: &AllPosted,
    outages: &[(SystemTime, SystemTime)],
) -> Findings {
    let jobs = jobs(database).await;
    let kept = kept(database).await;
    let mut findings = Findings {
        answered: posted.jobs.len(),
        unanswered: posted.unanswered,
        ..Findings::default()
    };
    for job in jobs.values() {
        *findings.statuses.entry(job.status.clone()).or_default() += 1;
        *findings.attempts.entry(job.attempt).or_default() += 1;
    }
    check_jobs(&jobs, &kept, load, posted);
    check_rivals(posted);
    check_blobs(database).await;
    findings.pairs = check_priorities(&jobs, outages);
    let given_up = given_up(database).await;
    check_bucket(production, &kept, &given_up, load, posted, &mut findings).await;
    findings
}

async fn rows(database: &DatabaseConnection, sql: &str) -> Vec<QueryResult> {
    let statement = Statement::from_string(database.get_database_backend(), sql);
    database.query_all_raw(statement).await.unwrap()
}

async fn jobs(database: &DatabaseConnection) -> HashMap<String, Job> {
    let sql = "SELECT id, status, priority, attempt, error, created_at, started_at FROM jobs";
    let rows = rows(database, sql).await;
    let job = |row: &QueryResult| Job {
        id: row.try_get::<Uuid>("", "id").unwrap().to_string(),
        status: row.try_get("", "status").unwrap(),
        priority: row.try_get("", "priority").unwrap(),
        attempt: row.try_get("", "attempt").unwrap(),
        error: row.try_get("", "error").unwrap(),
        created_at: row.try_get("", "created_at").unwrap(),
        started_at: row.try_get("", "started_at").unwrap(),
    };
    rows.iter()
        .map(job)
        .map(|job| (job.id.clone(), job))
        .collect()
}

async fn kept(database: &DatabaseConnection) -> HashMap<String, Kept> {
    let sql = "SELECT resource, size, sha256, b.status, b.storage_key, b.job_id, b.attempt \
               FROM medias m LEFT JOIN blobs b ON b.id = m.blob_id";
    let rows = rows(database, sql).await;
    let kept = |row: &QueryResult| Kept {
        resource: row.try_get("", "resource").unwrap(),
        size: row.try_get("", "size").unwrap(),
        sha256: row.try_get("", "sha256").unwrap(),
        status: row.try_get("", "status").expect("a media has a blob"),
        storage_key: row.try_get("", "storage_key").unwrap(),
        job_id: row.try_get("", "job_id").unwrap(),
        attempt: row.try_get("", "attempt").unwrap(),
    };
    rows.iter()
        .map(kept)
        .map(|kept| (kept.resource.clone(), kept))
        .collect()
}

/// Every job that was answered is there, has ended as it should, and has its one media if it
/// succeeded, written by its last attempt.
fn check_jobs(
    jobs: &HashMap<String, Job>,
    kept: &HashMap<String, Kept>,
    load: &Load,
    posted: &AllPosted,
) {
    for asked in &posted.jobs {
        let job = jobs.get(&asked.id).expect("an accepted job is never lost");
        let context = format!("{asked:?}: {} {:?}", job.status, job.error);
        let file = load.file(asked.file);
        match (job.status.as_str(), asked.cancel) {
            // Cancelled before it could run.
            ("cancelled", Some(_)) => {}
            (_, Some(StatusCode::OK)) => panic!("not cancelled: {context}"),
            ("succeeded", _) => assert!(file.bytes.is_some(), "{context}"),
            ("failed", _) => {
                assert!(file.bytes.is_none(), "{context}");
                assert_eq!(job.error.as_deref(), Some("origin_not_found"), "{context}");
            }
            _ => panic!("{context}"),
        }
        let media = kept.get(&asked.resource);
        assert_eq!(job.status == "succeeded", media.is_some(), "{context}");
        if let Some(media) = media {
            assert_eq!(media.status, "live", "{context}");
            let writer = (media.job_id.map(|id| id.to_string()), media.attempt);
            let last = (Some(job.id.clone()), Some(job.attempt));
            assert_eq!(writer, last, "written by a past attempt: {context}");
        }
    }
}

/// The keys of what the collector will look at once more: a write that was on its way when it looked
/// may still have arrived.
async fn given_up(database: &DatabaseConnection) -> HashSet<String> {
    let sql = "SELECT storage_key FROM blobs WHERE status = 'garbage'";
    let key = |row: &QueryResult| row.try_get::<String>("", "storage_key").unwrap();
    let keys = rows(database, sql).await;
    keys.iter()
        .map(|row| format!("{PREFIX}{}", key(row)))
        .collect()
}

/// One job holds a unicity.
fn check_rivals(posted: &AllPosted) {
    let given: HashSet<&String> = posted.rivals.iter().collect();
    assert!(given.len() <= 1, "{given:?}");
}

/// No blob without an owner, but those that the collector will look at once more.
async fn check_blobs(database: &DatabaseConnection) {
    let sql = "SELECT b.id FROM blobs b LEFT JOIN medias m ON m.blob_id = b.id \
               WHERE m.id IS NULL AND b.status <> 'garbage'";
    let unowned = rows(database, sql).await;
    assert_eq!(unowned.len(), 0, "blobs without a media");
}

/// No job started while a more urgent one had been waiting for longer than a claim round. Looked at
/// are jobs that were claimed once; how many pairs say something is the answer.
fn check_priorities(jobs: &HashMap<String, Job>, outages: &[(SystemTime, SystemTime)]) -> usize {
    let in_order: Vec<(&Job, DateTime<Utc>)> = jobs
        .values()
        .filter(|job| job.attempt == 1)
        .filter_map(|job| Some((job, job.started_at?)))
        .collect();
    let disturbed = |time: DateTime<Utc>| {
        let time = SystemTime::from(time);
        outages
            .iter()
            .any(|(from, to)| *from <= time && time <= *to + AFTERMATH)
    };
    let mut pairs = 0;
    for (less, started) in &in_order {
        if disturbed(*started) {
            continue;
        }
        for (more, later) in &in_order {
            if more.priority > less.priority && *started > more.created_at + CLAIM_ROUND {
                pairs += 1;
                assert!(
                    *later <= *started + CLAIM_ROUND,
                    "{} of priority {} started at {started}, while {} of {} waited from {} to {later}",
                    less.id,
                    less.priority,
                    more.id,
                    more.priority,
                    more.created_at
                );
            }
        }
    }
    pairs
}

/// The bucket holds the bytes of every media, they are the origin's, and nothing else that nobody will
/// remove.
async fn check_bucket(
    production: &Production,
    kept: &HashMap<String, Kept>,
    given_up: &HashSet<String>,
    load: &Load,
    posted: &AllPosted,
    findings: &mut Findings,
) {
    let uploads = production.seaweed.open_uploads(PREFIX).await;
    let endless = uploads.iter().filter(|key| !given_up.contains(*key));
    let endless: Vec<&String> = endless.collect();
    assert!(endless.is_empty(), "uploads that nobody ends: {endless:?}");
    let objects: HashMap<String, u64> = production
        .seaweed
        .objects(PREFIX)
        .await
        .into_iter()
        .collect();
    let mut expected: HashSet<String> = HashSet::new();
    for media in kept.values() {
        let key = format!("{PREFIX}{}", media.storage_key);
        let size = objects.get(&key).copied();
        assert_eq!(size, u64::try_from(media.size).ok(), "{key}");
        expected.insert(key);
    }
    let unowned: Vec<&String> = objects
        .keys()
        .filter(|key| !expected.contains(*key) && !given_up.contains(*key))
        .collect();
    assert!(unowned.is_empty(), "objects without a media: {unowned:?}");

    let digests: HashMap<usize, String> = posted
        .jobs
        .iter()
        .filter_map(|asked| {
            let bytes = load.file(asked.file).bytes.as_ref()?;
            Some((asked.file, bytes))
        })
        .collect::<HashMap<usize, &Vec<u8>>>()
        .into_iter()
        .map(|(file, bytes)| (file, hex::encode(Sha256::digest(bytes))))
        .collect();
    for asked in &posted.jobs {
        let Some(media) = kept.get(&asked.resource) else {
            continue;
        };
        let origin = &digests[&asked.file];
        assert_eq!(&media.sha256, origin, "{asked:?}");
        let bytes = production
            .seaweed
            .object(&format!("{PREFIX}{}", media.storage_key))
            .await;
        assert_eq!(&hex::encode(Sha256::digest(&bytes)), origin, "{asked:?}");
        findings.objects += 1;
        findings.bytes += bytes.len() as u64;
    }
}

impl Findings {
    /// Counts in the logs what leaves no other trace.
    pub(super) fn with_logs(mut self, directory: &Path) -> Self {
        for entry in std::fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|extension| extension != "log") {
                continue;
            }
            let log = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
            let count = |text: &str| log.lines().filter(|line| line.contains(text)).count();
            self.refused_writes +=
                count("a past attempt was refused") + count("stopped: the lease is lost");
            self.rescued += count("rescued a job whose worker was lost");
            self.handed_back += count("handed back");
            assert_eq!(count("panicked"), 0, "{log}");
        }
        self
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{} posts answered 2xx, {} not",
            self.answered, self.unanswered
        )?;
        writeln!(f, "jobs: {:?}", self.statuses)?;
        writeln!(f, "jobs by attempts: {:?}", self.attempts)?;
        writeln!(
            f,
            "{} jobs rescued, {} handed back, {} past attempts refused",
            self.rescued, self.handed_back, self.refused_writes
        )?;
        writeln!(
            f,
            "{} objects, {} bytes, each as at the origin",
            self.objects, self.bytes
        )?;
        write!(
            f,
            "{} pairs of jobs in the order of their priority",
            self.pairs
        )
    }
}

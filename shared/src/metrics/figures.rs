//! What this process has counted since it began.

use std::{sync::LazyLock, time::Duration};

use prometheus_client::{
    metrics::{
        counter::Counter,
        family::Family,
        gauge::Gauge,
        histogram::{Histogram, exponential_buckets},
    },
    registry::{Registry, Unit},
};

use super::labels::{
    AttemptOutcome, OfAnswer, OfClass, OfCode, OfOutcome, OfRoute, OfStored, OfWork, Stored, Work,
};
use crate::job::{FailureCode, JobClass as _, JobStatus, MediaImport};

/// The figures of this process.
pub fn figures() -> &'static Figures {
    static FIGURES: LazyLock<Figures> = LazyLock::new(|| {
        let figures = Figures::new();
        figures.begin_at_zero();
        figures
    });
    &FIGURES
}

/// What is counted.
pub struct Figures {
    entered: Family<OfClass, Counter>,
    ended: Family<OfOutcome, Counter>,
    attempts: Family<OfOutcome, Counter>,
    failures: Family<OfCode, Counter>,
    duration: Family<OfOutcome, Histogram>,
    pickup: Histogram,
    claim: Histogram,
    fetched: Counter,
    throughput: Histogram,
    stored: Family<OfStored, Counter>,
    leases_lost: Counter,
    fenced: Counter,
    rescued: Counter,
    trouble: Family<OfWork, Counter>,
    tickets_posted: Counter,
    tickets_taken: Counter,
    collected: Counter,
    pruned: Counter,
    waiting: Gauge,
    answers: Family<OfAnswer, Counter>,
    answer_time: Family<OfRoute, Histogram>,
    answering: Gauge,
}

/// A request whose answer has not begun.
pub struct RequestGuard(());

impl RequestGuard {
    /// Counts it in; dropped, it is counted out.
    #[must_use]
    pub fn begin() -> Self {
        figures().answering.inc();
        Self(())
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        figures().answering.dec();
    }
}

impl Figures {
    fn new() -> Self {
        Self {
            entered: Family::default(),
            ended: Family::default(),
            attempts: Family::default(),
            failures: Family::default(),
            // From 50 ms to about 3.6 hours.
            duration: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.05, 4.0, 10))
            }),
            // From 1 ms to about 4.4 minutes, then an hour and a day.
            pickup: Histogram::new(exponential_buckets(0.001, 4.0, 10).chain([3600.0, 86_400.0])),
            // From 0.25 ms to about 4 s.
            claim: Histogram::new(exponential_buckets(0.000_25, 4.0, 8)),
            fetched: Counter::default(),
            // From 16 KiB/s to about 4 GiB/s.
            throughput: Histogram::new(exponential_buckets(16_384.0, 4.0, 10)),
            stored: Family::default(),
            leases_lost: Counter::default(),
            fenced: Counter::default(),
            rescued: Counter::default(),
            trouble: Family::default(),
            tickets_posted: Counter::default(),
            tickets_taken: Counter::default(),
            collected: Counter::default(),
            pruned: Counter::default(),
            waiting: Gauge::default(),
            answers: Family::default(),
            // From 0.5 ms to about 8 s.
            answer_time: Family::new_with_constructor(|| {
                Histogram::new(exponential_buckets(0.000_5, 4.0, 8))
            }),
            answering: Gauge::default(),
        }
    }

    /// Shows what is known to come before it does: from nothing to one is no increase for Prometheus.
    fn begin_at_zero(&self) {
        let class = || MediaImport::NAME.to_owned();
        drop(self.entered.get_or_create(&OfClass { class: class() }));
        for status in [
            JobStatus::Succeeded,
            JobStatus::Failed,
            JobStatus::Cancelled,
        ] {
            let outcome = status.as_str();
            drop(self.ended.get_or_create(&OfOutcome {
                class: class(),
                outcome,
            }));
        }
        for outcome in AttemptOutcome::ALL.map(AttemptOutcome::label) {
            let of = OfOutcome {
                class: class(),
                outcome,
            };
            drop(self.attempts.get_or_create(&of));
            drop(self.duration.get_or_create(&of));
        }
        for code in FailureCode::ALL.iter().map(|code| code.as_str()) {
            drop(self.failures.get_or_create(&OfCode { code }));
        }
        for by in Stored::ALL.map(Stored::label) {
            drop(self.stored.get_or_create(&OfStored { by }));
        }
        for work in Work::ALL.map(Work::label) {
            drop(self.trouble.get_or_create(&OfWork { work }));
        }
    }

    /// A job was entered.
    pub fn job_entered(&self, class: &str) {
        let class = class.to_owned();
        self.entered.get_or_create(&OfClass { class }).inc();
    }

    /// A job has come to an end, with this status.
    pub fn job_ended(&self, class: &str, outcome: &'static str) {
        let class = class.to_owned();
        self.ended
            .get_or_create(&OfOutcome { class, outcome })
            .inc();
    }

    /// An attempt at a job has ended.
    pub fn attempt_ended(&self, class: &str, outcome: AttemptOutcome, took: Duration) {
        let of = OfOutcome {
            class: class.to_owned(),
            outcome: outcome.label(),
        };
        self.attempts.get_or_create(&of).inc();
        self.duration.get_or_create(&of).observe(took.as_secs_f64());
    }

    /// An attempt has failed.
    pub fn attempt_failed(&self, code: FailureCode) {
        self.failures
            .get_or_create(&OfCode {
                code: code.as_str(),
            })
            .inc();
    }

    /// A job's first attempt begins, so long after it could have.
    pub fn picked_up(&self, after: Duration) {
        self.pickup.observe(after.as_secs_f64());
    }

    /// A statement that takes the next job was answered.
    pub fn claimed(&self, took: Duration) {
        self.claim.observe(took.as_secs_f64());
    }

    /// Bytes have come from an origin.
    pub fn fetched(&self, bytes: u64) {
        self.fetched.inc_by(bytes);
    }

    /// All bytes of an import have come, so many in so long.
    pub fn fetched_at(&self, bytes: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        if seconds > 0.0 {
            #[allow(clippy::cast_precision_loss, reason = "a figure to look at")]
            self.throughput.observe(bytes as f64 / seconds);
        }
    }

    /// Bytes are stored for good.
    pub fn stored(&self, by: Stored, bytes: u64) {
        self.stored
            .get_or_create(&OfStored { by: by.label() })
            .inc_by(bytes);
    }

    /// A heartbeat has found a job to be another's.
    pub fn leases_lost(&self, jobs: u64) {
        self.leases_lost.inc_by(jobs);
    }

    /// What a past attempt wanted to write was refused.
    pub fn write_fenced(&self) {
        self.fenced.inc();
    }

    /// Jobs were taken back from workers that were not heard of.
    pub fn rescued(&self, jobs: u64) {
        self.rescued.inc_by(jobs);
    }

    /// Something beside the jobs has failed; it is tried again.
    pub fn troubled(&self, work: Work) {
        self.trouble
            .get_or_create(&OfWork { work: work.label() })
            .inc();
    }

    /// Tickets were posted.
    pub fn tickets_posted(&self, tickets: u64) {
        self.tickets_posted.inc_by(tickets);
    }

    /// A ticket was taken.
    pub fn ticket_taken(&self) {
        self.tickets_taken.inc();
    }

    /// Objects were removed from storage that nobody refers to.
    pub fn collected(&self, blobs: u64) {
        self.collected.inc_by(blobs);
    }

    /// Jobs were removed that ended long ago.
    pub fn pruned(&self, jobs: u64) {
        self.pruned.inc_by(jobs);
    }

    /// Whether this worker imports nothing because the database or storage is away.
    pub fn waits_for_parts(&self, away: bool) {
        self.waiting.set(away.into());
    }

    /// The head of an answer is on its way; `route` is the pattern that the path fits.
    pub fn answered(&self, method: &str, route: &str, status: u16, took: Duration) {
        let (method, route) = (method.to_owned(), route.to_owned());
        let of = OfRoute {
            method: method.clone(),
            route: route.clone(),
        };
        self.answer_time
            .get_or_create(&of)
            .observe(took.as_secs_f64());
        self.answers
            .get_or_create(&OfAnswer {
                method,
                route,
                status,
            })
            .inc();
    }

    /// Enters all of them.
    pub(super) fn enter(&self, registry: &mut Registry) {
        self.enter_jobs(registry);
        self.enter_work(registry);
        registry.register(
            "http_requests",
            "Answers, by method, route and status",
            self.answers.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "From the head of a request to the head of its answer",
            Unit::Seconds,
            self.answer_time.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests whose answers have not begun",
            self.answering.clone(),
        );
    }

    fn enter_jobs(&self, registry: &mut Registry) {
        registry.register("jobs_entered", "Jobs entered", self.entered.clone());
        registry.register(
            "jobs_ended",
            "Jobs that came to an end, by their status then",
            self.ended.clone(),
        );
        registry.register(
            "attempts",
            "Attempts at jobs, by how they ended",
            self.attempts.clone(),
        );
        registry.register(
            "attempt_failures",
            "Attempts that failed, by error code",
            self.failures.clone(),
        );
        registry.register_with_unit(
            "attempt_duration",
            "How long attempts took",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "job_pickup",
            "From when a job could begin to its first attempt",
            Unit::Seconds,
            self.pickup.clone(),
        );
        registry.register_with_unit(
            "fetched",
            "What came from origins",
            Unit::Bytes,
            self.fetched.clone(),
        );
        registry.register(
            "fetch_throughput_bytes_per_second",
            "How fast whole imports came",
            self.throughput.clone(),
        );
        registry.register_with_unit(
            "stored",
            "What was stored for good",
            Unit::Bytes,
            self.stored.clone(),
        );
    }

    fn enter_work(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "claim_duration",
            "How long the statement took that takes the next job",
            Unit::Seconds,
            self.claim.clone(),
        );
        registry.register(
            "leases_lost",
            "Jobs that a heartbeat found to be another worker's",
            self.leases_lost.clone(),
        );
        registry.register(
            "fenced_writes",
            "Outcomes of past attempts that were refused",
            self.fenced.clone(),
        );
        registry.register(
            "jobs_rescued",
            "Jobs taken back from workers that were not heard of",
            self.rescued.clone(),
        );
        registry.register(
            "trouble",
            "What failed beside jobs and is tried again",
            self.trouble.clone(),
        );
        registry.register(
            "tickets_posted",
            "Tickets posted",
            self.tickets_posted.clone(),
        );
        registry.register("tickets_taken", "Tickets taken", self.tickets_taken.clone());
        registry.register(
            "blobs_collected",
            "Objects removed from storage that nobody refers to",
            self.collected.clone(),
        );
        registry.register(
            "jobs_pruned",
            "Jobs removed that ended long ago",
            self.pruned.clone(),
        );
        registry.register(
            "worker_waiting",
            "1 while this worker imports nothing because the database or storage is away",
            self.waiting.clone(),
        );
    }
}

//! The counters of this process since its start.

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
    AttemptOutcome, BackgroundTask, OfAnswer, OfClass, OfCode, OfOutcome, OfRoute, OfStored,
    OfTask, Stored,
};
use media_domain::job::{FailureCode, JobClass as _, JobStatus, MediaImport};

/// The metrics of this process.
pub fn metrics() -> &'static Metrics {
    static METRICS: LazyLock<Metrics> = LazyLock::new(|| {
        let metrics = Metrics::new();
        metrics.begin_at_zero();
        metrics
    });
    &METRICS
}

/// The counters, gauges and histograms of a process.
pub struct Metrics {
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
    background_errors: Family<OfTask, Counter>,
    wakeups_sent: Counter,
    wakeups_received: Counter,
    collected: Counter,
    pruned: Counter,
    waiting: Gauge,
    answers: Family<OfAnswer, Counter>,
    answer_time: Family<OfRoute, Histogram>,
    answering: Gauge,
}

/// A request whose response has not begun.
pub struct RequestGuard(());

impl RequestGuard {
    /// Counts the request as in flight until the guard is dropped.
    #[must_use]
    pub fn begin() -> Self {
        metrics().answering.inc();
        Self(())
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        metrics().answering.dec();
    }
}

impl Metrics {
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
            background_errors: Family::default(),
            wakeups_sent: Counter::default(),
            wakeups_received: Counter::default(),
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

    /// Creates the known series at zero: for Prometheus a series that appears with 1 has not increased.
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
        for work in BackgroundTask::ALL.map(BackgroundTask::label) {
            drop(self.background_errors.get_or_create(&OfTask { work }));
        }
    }

    /// Counts a new job.
    pub fn job_entered(&self, class: &str) {
        let class = class.to_owned();
        self.entered.get_or_create(&OfClass { class }).inc();
    }

    /// Counts the end of a job, by its final status.
    pub fn job_ended(&self, class: &str, outcome: &'static str) {
        let class = class.to_owned();
        self.ended
            .get_or_create(&OfOutcome { class, outcome })
            .inc();
    }

    /// Counts the end of an attempt.
    pub fn attempt_ended(&self, class: &str, outcome: AttemptOutcome, took: Duration) {
        let of = OfOutcome {
            class: class.to_owned(),
            outcome: outcome.label(),
        };
        self.attempts.get_or_create(&of).inc();
        self.duration.get_or_create(&of).observe(took.as_secs_f64());
    }

    /// Counts a failed attempt.
    pub fn attempt_failed(&self, code: FailureCode) {
        self.failures
            .get_or_create(&OfCode {
                code: code.as_str(),
            })
            .inc();
    }

    /// Observes the time from when a job could begin to its first attempt.
    pub fn picked_up(&self, after: Duration) {
        self.pickup.observe(after.as_secs_f64());
    }

    /// Observes the time of a statement that claims jobs.
    pub fn claimed(&self, took: Duration) {
        self.claim.observe(took.as_secs_f64());
    }

    /// Counts bytes from origins.
    pub fn fetched(&self, bytes: u64) {
        self.fetched.inc_by(bytes);
    }

    /// Observes the throughput of a whole import.
    pub fn fetched_at(&self, bytes: u64, took: Duration) {
        let seconds = took.as_secs_f64();
        if seconds > 0.0 {
            #[allow(clippy::cast_precision_loss, reason = "an estimate")]
            self.throughput.observe(bytes as f64 / seconds);
        }
    }

    /// Counts bytes of recorded media.
    pub fn stored(&self, by: Stored, bytes: u64) {
        self.stored
            .get_or_create(&OfStored { by: by.label() })
            .inc_by(bytes);
    }

    /// Counts leases that a heartbeat found lost.
    pub fn leases_lost(&self, jobs: u64) {
        self.leases_lost.inc_by(jobs);
    }

    /// Counts a refused write of a past attempt.
    pub fn write_fenced(&self) {
        self.fenced.inc();
    }

    /// Counts jobs rescued from lost workers.
    pub fn rescued(&self, jobs: u64) {
        self.rescued.inc_by(jobs);
    }

    /// Counts a failure of a background task, which is tried again.
    pub fn background_error(&self, task: BackgroundTask) {
        self.background_errors
            .get_or_create(&OfTask { work: task.label() })
            .inc();
    }

    /// Counts wake-ups sent to Redis.
    pub fn wakeups_sent(&self, wakeups: u64) {
        self.wakeups_sent.inc_by(wakeups);
    }

    /// Counts a wake-up received from Redis.
    pub fn wakeup_received(&self) {
        self.wakeups_received.inc();
    }

    /// Counts objects that the collector removed from storage.
    pub fn collected(&self, blobs: u64) {
        self.collected.inc_by(blobs);
    }

    /// Counts jobs that were removed after their retention.
    pub fn pruned(&self, jobs: u64) {
        self.pruned.inc_by(jobs);
    }

    /// Records whether this worker is paused because the database or storage is unavailable.
    pub fn waits_for_dependencies(&self, away: bool) {
        self.waiting.set(away.into());
    }

    /// Counts a response whose head is sent. `route` is the pattern that the path matches.
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

    /// Registers all metrics.
    pub fn register(&self, registry: &mut Registry) {
        self.register_jobs(registry);
        self.register_background(registry);
        registry.register(
            "http_requests",
            "Responses, by method, route and status",
            self.answers.clone(),
        );
        registry.register_with_unit(
            "http_request_duration",
            "Time from the head of a request to the head of its response",
            Unit::Seconds,
            self.answer_time.clone(),
        );
        registry.register(
            "http_requests_in_flight",
            "Requests whose responses have not begun",
            self.answering.clone(),
        );
    }

    fn register_jobs(&self, registry: &mut Registry) {
        registry.register("jobs_entered", "Jobs created", self.entered.clone());
        registry.register(
            "jobs_ended",
            "Jobs that ended, by final status",
            self.ended.clone(),
        );
        registry.register(
            "attempts",
            "Attempts at jobs, by outcome",
            self.attempts.clone(),
        );
        registry.register(
            "attempt_failures",
            "Attempts that failed, by error code",
            self.failures.clone(),
        );
        registry.register_with_unit(
            "attempt_duration",
            "Duration of attempts",
            Unit::Seconds,
            self.duration.clone(),
        );
        registry.register_with_unit(
            "job_pickup",
            "Time from when a job could begin to its first attempt",
            Unit::Seconds,
            self.pickup.clone(),
        );
        registry.register_with_unit(
            "fetched",
            "Bytes received from origins",
            Unit::Bytes,
            self.fetched.clone(),
        );
        registry.register(
            "fetch_throughput_bytes_per_second",
            "Throughput of whole imports",
            self.throughput.clone(),
        );
        registry.register_with_unit(
            "stored",
            "Bytes of recorded media",
            Unit::Bytes,
            self.stored.clone(),
        );
    }

    fn register_background(&self, registry: &mut Registry) {
        registry.register_with_unit(
            "claim_duration",
            "Duration of the statement that claims jobs",
            Unit::Seconds,
            self.claim.clone(),
        );
        registry.register(
            "leases_lost",
            "Leases that a heartbeat found lost",
            self.leases_lost.clone(),
        );
        registry.register(
            "fenced_writes",
            "Writes of past attempts that were refused",
            self.fenced.clone(),
        );
        registry.register(
            "jobs_rescued",
            "Jobs rescued from lost workers",
            self.rescued.clone(),
        );
        registry.register(
            "trouble",
            "Failures of background tasks, which are tried again",
            self.background_errors.clone(),
        );
        registry.register(
            "tickets_posted",
            "Wake-ups sent to Redis",
            self.wakeups_sent.clone(),
        );
        registry.register(
            "tickets_taken",
            "Wake-ups received from Redis",
            self.wakeups_received.clone(),
        );
        registry.register(
            "blobs_collected",
            "Objects that the collector removed from storage",
            self.collected.clone(),
        );
        registry.register(
            "jobs_pruned",
            "Jobs removed after their retention",
            self.pruned.clone(),
        );
        registry.register(
            "worker_waiting",
            "1 while this worker is paused because the database or storage is unavailable",
            self.waiting.clone(),
        );
    }
}

//! What the system says of this process, by the names that Prometheus' own clients use.

use std::sync::atomic::AtomicU64;

use procfs::process::Process;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Enters what the system tells; what it does not tell is missing.
pub(super) fn enter(registry: &mut Registry) {
    // A system without /proc tells nothing.
    let Ok(process) = Process::myself() else {
        return;
    };
    if let Ok(stat) = process.stat() {
        #[allow(clippy::cast_precision_loss, reason = "exact for 285 years")]
        let seconds = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
        let used = Counter::<f64, AtomicU64>::default();
        used.inc_by(seconds);
        registry.register(
            "process_cpu_seconds",
            "Time of processors that was used",
            used,
        );
        enter_gauge(registry, "process_threads", "Threads", stat.num_threads);
        let resident = stat.rss.saturating_mul(procfs::page_size());
        let resident = i64::try_from(resident).unwrap_or(i64::MAX);
        enter_gauge(
            registry,
            "process_resident_memory_bytes",
            "Memory in use",
            resident,
        );
    }
    if let Ok(files) = process.fd_count() {
        let files = i64::try_from(files).unwrap_or(i64::MAX);
        enter_gauge(
            registry,
            "process_open_fds",
            "Open files and connections",
            files,
        );
    }
    if let Ok(limits) = process.limits()
        && let procfs::process::LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        enter_gauge(registry, "process_max_fds", "The most open files", most);
    }
}

fn enter_gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

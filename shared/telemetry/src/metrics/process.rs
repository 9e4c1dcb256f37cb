//! Metrics of the process itself, with the names that Prometheus' own clients use.

use std::sync::atomic::AtomicU64;

use procfs::process::Process;
use prometheus_client::{
    metrics::{counter::Counter, gauge::Gauge},
    registry::Registry,
};

/// Registers the metrics of the process that the system reports.
pub fn register(registry: &mut Registry) {
    // There is no /proc on other systems.
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
            "Processor time used by the process",
            used,
        );
        register_gauge(
            registry,
            "process_threads",
            "Threads of the process",
            stat.num_threads,
        );
        let resident = stat.rss.saturating_mul(procfs::page_size());
        let resident = i64::try_from(resident).unwrap_or(i64::MAX);
        register_gauge(
            registry,
            "process_resident_memory_bytes",
            "Resident memory of the process",
            resident,
        );
    }
    if let Ok(files) = process.fd_count() {
        let files = i64::try_from(files).unwrap_or(i64::MAX);
        register_gauge(
            registry,
            "process_open_fds",
            "Open files and connections of the process",
            files,
        );
    }
    if let Ok(limits) = process.limits()
        && let procfs::process::LimitValue::Value(most) = limits.max_open_files.soft_limit
    {
        let most = i64::try_from(most).unwrap_or(i64::MAX);
        register_gauge(
            registry,
            "process_max_fds",
            "The limit of open files of the process",
            most,
        );
    }
}

fn register_gauge(registry: &mut Registry, name: &str, help: &str, value: i64) {
    let gauge = Gauge::<i64>::default();
    gauge.set(value);
    registry.register(name, help, gauge);
}

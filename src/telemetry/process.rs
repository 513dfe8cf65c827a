//! Metrics of the process, under the names that all Prometheus clients use.

use super::Exposition;

/// Adds processor time, memory, threads, descriptors and the start of the process. Linux states them in `/proc`; what
/// cannot be read is left out.
#[cfg(target_os = "linux")]
pub fn write_process(metrics: &mut Exposition) {
    use std::time::Duration;

    use procfs::{WithCurrentSystemInfo, boot_time_secs, process::LimitValue, ticks_per_second};

    let Ok(process) = procfs::process::Process::myself() else {
        return;
    };
    let seconds = |ticks: u64| Duration::from_millis(ticks * 1000 / ticks_per_second()).as_secs_f64();
    if let Ok(stat) = process.stat() {
        let name = "process_cpu_seconds_total";
        metrics.counter(name, "Processor time of the process.", seconds(stat.utime + stat.stime));
        let name = "process_resident_memory_bytes";
        metrics.gauge(name, "Memory of the process in RAM.", stat.rss_bytes().get());
        metrics.gauge("process_virtual_memory_bytes", "Address space of the process.", stat.vsize);
        metrics.gauge("process_threads", "Threads of the process.", stat.num_threads);
        if let Ok(booted) = boot_time_secs() {
            let started = Duration::from_secs(booted).as_secs_f64() + seconds(stat.starttime);
            metrics.gauge("process_start_time_seconds", "When the process was started.", started);
        }
    }
    if let Ok(open) = process.fd_count() {
        metrics.gauge("process_open_fds", "Open file descriptors.", open);
    }
    if let Ok(limits) = process.limits()
        && let LimitValue::Value(max) = limits.max_open_files.soft_limit
    {
        metrics.gauge("process_max_fds", "Maximum of open file descriptors.", max);
    }
}

#[cfg(not(target_os = "linux"))]
pub fn write_process(_: &mut Exposition) {}

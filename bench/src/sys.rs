//! Reads the figures of a process from the operating system.

use std::fs;

/// Microseconds of CPU (user and system) that a process has used; clock ticks are 10 ms.
pub fn cpu_micros(pid: u32) -> u64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name in parentheses may contain spaces.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    (ticks(11) + ticks(12)) * 10_000
}

/// Of the postmaster and all its children, including those that have ended.
pub fn cpu_micros_of_tree(pid: u32) -> u64 {
    let reaped = {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
        let ticks = |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        (ticks(13) + ticks(14)) * 10_000
    };
    let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    let children = children.split_whitespace().filter_map(|child| child.parse().ok());
    cpu_micros(pid) + reaped + children.map(cpu_micros).sum::<u64>()
}

/// Resident memory in kB.
pub fn resident_kb(pid: u32) -> u64 {
    kb(pid, "VmRSS:")
}

/// The peak of the resident memory in kB, since the start of the process.
pub fn peak_kb(pid: u32) -> u64 {
    kb(pid, "VmHWM:")
}

fn kb(pid: u32, name: &str) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|text| text.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

pub fn describe_machine() -> String {
    let first = |path: &str, prefix: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(prefix)).unwrap_or_default();
        line.split(':').nth(1).unwrap_or_default().trim().to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let memory = first("/proc/meminfo", "MemTotal");
    format!("{cores} cores ({}), {memory}, Linux {}", first("/proc/cpuinfo", "model name"), kernel.trim())
}

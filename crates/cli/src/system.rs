//! What the operating system says about this machine and this process.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Physical cores that this process may use: hyperthreads share one core's arithmetic, and a container or
/// `taskset` may allow fewer than the machine has.
pub(crate) fn physical_cores() -> usize {
    let allowed = std::thread::available_parallelism().map_or(1, usize::from);
    let cores = allowed_processors().map_or(allowed, |processors| {
        let cores: BTreeSet<String> = processors.iter().map(|&n| core_of(n)).collect();
        cores.len()
    });
    cores.clamp(1, allowed)
}

/// The processors of this process's affinity mask.
fn allowed_processors() -> Option<Vec<usize>> {
    let list = status_field("Cpus_allowed_list")?;
    let mut processors = Vec::new();
    for range in list.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        processors.extend(first.trim().parse::<usize>().ok()?..=last.trim().parse().ok()?);
    }
    Some(processors)
}

/// A name that all processors of one physical core share.
fn core_of(processor: usize) -> String {
    let path = format!("/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list");
    fs::read_to_string(path).map_or_else(|_| processor.to_string(), |siblings| siblings.trim().to_owned())
}

/// Bytes of memory that this process holds now; none where the system does not say. Pages of mapped stores are not
/// counted: the kernel takes them back when it needs them.
pub(crate) fn own_bytes() -> Option<u64> {
    kilobytes(&status_field("RssAnon")?)
}

/// The most memory that this process has held.
pub(crate) fn peak_resident_bytes() -> Option<u64> {
    kilobytes(&status_field("VmHWM")?)
}

/// Total and available memory of the machine, in bytes; less where a container allows less.
pub(crate) fn memory() -> Option<(u64, u64)> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let field = |name: &str| kilobytes(text.lines().find_map(|line| line.strip_prefix(name))?);
    let (total, available) = (field("MemTotal:")?, field("MemAvailable:")?);
    let limit = read_number("/sys/fs/cgroup/memory.max").unwrap_or(u64::MAX);
    let used = read_number("/sys/fs/cgroup/memory.current").unwrap_or(0);
    Some((total.min(limit), available.min(limit.saturating_sub(used))))
}

/// Free bytes of the disk that `path`, or the nearest folder above it, is on.
pub(crate) fn free_disk_bytes(path: &Path) -> Option<u64> {
    let absolute = std::path::absolute(path).ok()?;
    let existing = absolute.ancestors().find(|folder| folder.exists())?;
    let stat = rustix::fs::statvfs(existing).ok()?;
    Some(stat.f_bavail * stat.f_frsize)
}

/// The processor's name as the kernel gives it.
pub(crate) fn processor_name() -> Option<String> {
    let text = fs::read_to_string("/proc/cpuinfo").ok()?;
    let line = text.lines().find(|line| line.starts_with("model name"))?;
    Some(line.split_once(':')?.1.trim().to_owned())
}

fn status_field(name: &str) -> Option<String> {
    let text = fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    Some(line.trim().to_owned())
}

fn kilobytes(text: &str) -> Option<u64> {
    Some(text.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024)
}

fn read_number(path: &str) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_a_core_and_not_more_than_allowed() {
        let allowed = std::thread::available_parallelism().unwrap().get();
        assert!((1..=allowed).contains(&physical_cores()));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn memory_and_disk_are_known_on_linux() {
        let (total, available) = memory().unwrap();
        assert!(available <= total && total > 1 << 20);
        assert!(own_bytes().unwrap() <= peak_resident_bytes().unwrap());
        assert!(free_disk_bytes(Path::new("not/there/yet")).is_some());
    }
}

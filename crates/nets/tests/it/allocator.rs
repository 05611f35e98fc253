//! Memory of a process that takes and frees blocks of very different sizes again and again, as trainings do.

use std::fs;

const STEPS: usize = 60;
const MIB: usize = 1 << 20;

/// MiB of this process that are in memory.
fn resident_mib() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() / 1024
}

/// A large block, then many small ones, all of them freed: the small ones fit into what the large one left.
fn step() -> usize {
    let large = vec![1u8; 32 * MIB];
    let sum = large.iter().step_by(4096).map(|&byte| usize::from(byte)).sum::<usize>();
    drop(large);
    let small: Vec<Vec<u8>> = (0..256).map(|_| vec![1u8; 128 << 10]).collect();
    sum + small.iter().map(Vec::len).sum::<usize>()
}

#[test]
#[cfg(target_os = "linux")]
fn blocks_of_any_size_are_made_of_freed_ones() {
    std::hint::black_box((0..3).map(|_| step()).sum::<usize>());
    let before = resident_mib();
    std::hint::black_box((0..STEPS).map(|_| step()).sum::<usize>());
    let grown = resident_mib().saturating_sub(before);
    assert!(grown < 4 * 32, "{grown} MiB more after {STEPS} steps of 32 MiB");
}

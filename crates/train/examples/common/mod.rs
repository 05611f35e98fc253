//! What the benches of this crate share: the clock, and the JSON line of a measurement.

use std::time::Instant;

use synthmr_nets::engine::Precision;
use tch::Device;

/// The number at `index` of the command line, or `default`.
pub(crate) fn argument(index: usize, default: usize) -> usize {
    std::env::args().nth(index).and_then(|n| n.parse().ok()).unwrap_or(default)
}

/// f32, and bf16 where the processor multiplies in it.
pub(crate) fn precisions() -> Vec<Precision> {
    let mut all = vec![Precision::F32, Precision::best_for(Device::Cpu)];
    all.dedup();
    all
}

/// Times of `work`, called `warm_up` times before the clock starts: memory is mapped and kernels are compiled then.
pub(crate) fn seconds(runs: usize, warm_up: usize, mut work: impl FnMut()) -> Vec<f64> {
    (0..warm_up).for_each(|_| work());
    let timed = (0..runs.max(1)).map(|_| {
        let start = Instant::now();
        work();
        start.elapsed().as_secs_f64()
    });
    timed.collect()
}

/// Prints the line of one measurement.
#[expect(clippy::print_stdout, reason = "a bench prints its results")]
pub(crate) fn report(bench: &str, precision: Precision, seconds: &[f64]) {
    let mut sorted = seconds.to_vec();
    sorted.sort_by(f64::total_cmp);
    println!(
        "{{\"bench\":\"{bench}\",\"system\":\"synthmr {}\",\"seconds_median\":{:.4},\"seconds_min\":{:.4},\"seconds_max\":{:.4},\"runs\":{}}}",
        precision.name(),
        sorted[sorted.len() / 2],
        sorted[0],
        sorted[sorted.len() - 1],
        sorted.len()
    );
}

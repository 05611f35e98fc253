//! What the benches of this crate share: the clock, and the JSON line of a measurement.

use std::time::Instant;

use synthmr_nets::engine::{Precision, set_threads};
use tch::Device;

/// How much is measured: `[RUNS [THREADS [SIDE [BATCH]]]]` of the command line.
#[derive(Clone, Copy)]
pub(crate) struct Size {
    pub(crate) runs: usize,
    /// Of the images, in pixels.
    pub(crate) side: i64,
    /// Images of a step, and images drawn at once.
    pub(crate) batch: i64,
}

impl Size {
    /// From the command line, or these where it is silent; sets the threads, 2 unless given.
    pub(crate) fn from_arguments(runs: usize, side: i64, batch: i64) -> Self {
        let number = |index: usize| -> Option<usize> {
            let word = std::env::args().nth(index)?;
            #[expect(
                clippy::panic,
                reason = "a bench that measures something else than was asked for misleads"
            )]
            Some(word.parse().unwrap_or_else(|_| panic!("expected RUNS THREADS SIDE BATCH, found {word:?}")))
        };
        set_threads(number(2).unwrap_or(2));
        Self {
            runs: number(1).unwrap_or(runs),
            side: number(3).map_or(side, |side| side as i64),
            batch: number(4).map_or(batch, |batch| batch as i64),
        }
    }
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

//! Times the metrics of features on made-up ones, and prints one JSON line a metric; the peer is
//! `tools/bench/realism_fidelity.py`.
//!
//! `cargo run --release -p synthmr-metrics --example bench_realism [RUNS [THREADS [FEATURES [IMAGES]]]]`
//!
//! `frechet`: between two given Gaussians of 2,048 features, as pytorch-fid times it. `kid`: 100 subsets of 1,000 images.
//! `prdc`: 5 neighbours. `IMAGES` of each set, 10,000 by default.

#![expect(clippy::print_stdout, reason = "a bench's result is what it prints")]

use std::error::Error;
use std::ops::ControlFlow;
use std::time::Instant;

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_metrics::realism::FeatureMatrix;
use synthmr_metrics::realism::frechet::{Moments, frechet_of_moments};
use synthmr_metrics::realism::kid::{Subset, kid};
use synthmr_metrics::realism::prdc::{NEAREST, prdc};

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = [3, 2, 2048, 10_000];
    for (number, word) in numbers.iter_mut().zip(std::env::args().skip(1)) {
        *number = word.parse()?;
    }
    let [runs, threads, dims, images] = numbers;
    rayon::ThreadPoolBuilder::new().num_threads(threads).build_global()?;
    let (x, y) = (made_up(images, dims, 0)?, made_up(images, dims, 1)?);
    let (of_x, of_y) = (Moments::of(x.view())?, Moments::of(y.view())?);
    time(&format!("frechet-{dims}"), runs, || frechet_of_moments(&of_x, &of_y).map(|found| found.distance))?;
    time(&format!("moments-{images}x{dims}"), runs, || Moments::of(x.view()).map(|_| 0.0))?;
    let size = 1000.min(images);
    let draw = |subset: u64, set: u64| {
        let mut order: Vec<u32> = (0..images as u32).collect();
        rng(2 * subset + set, Stream::Test, 2).shuffle(&mut order);
        order.truncate(size);
        order
    };
    let subsets: Vec<Subset> =
        (0..100).map(|subset| Subset { first: draw(subset, 0), second: draw(subset, 1) }).collect();
    time(&format!("kid-100x{size}x{dims}"), runs, || {
        kid(x.view(), y.view(), &subsets).map(|found| found.mean)
    })?;
    time(&format!("prdc-{images}x{dims}"), runs, || {
        prdc(x.view(), y.view(), NEAREST, &mut |_| ControlFlow::Continue(())).map(|found| found.precision)
    })?;
    Ok(())
}

/// Features that are not negative, as those of rectifying networks are.
fn made_up(images: usize, dims: usize, set: u64) -> Result<FeatureMatrix, Box<dyn Error>> {
    let mut values = vec![0.0; images * dims];
    rng(set, Stream::Test, 1).fill_normal(&mut values);
    values.iter_mut().for_each(|value| *value = value.abs());
    Ok(FeatureMatrix::new(values, dims)?)
}

fn time<E: Error + 'static>(
    bench: &str,
    runs: usize,
    mut work: impl FnMut() -> Result<f64, E>,
) -> Result<(), Box<dyn Error>> {
    let mut seconds = Vec::new();
    let mut value = 0.0;
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        value = work()?;
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "bench": bench,
        "system": "synthmr",
        "seconds_median": seconds[seconds.len() / 2],
        "seconds_min": seconds[0],
        "seconds_max": seconds[seconds.len() - 1],
        "runs": seconds.len(),
        "value": value,
    });
    println!("{line}");
    Ok(())
}

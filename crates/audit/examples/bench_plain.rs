//! Time to find the nearest of 2,048 images for each of 2,048, plain Pearson correlation at 256x256, as a JSON line; the peers
//! are in `tools/bench/plain_numpy.py`. `full_problem_minutes` is the time for 100,000 x 23,000 images if it grows with the
//! number of pairs, which it does: reading and standardising grow with the number of images only.
//!
//! `cargo run --release -p synthmr-audit --example bench_plain [RUNS [THREADS]]`

#![expect(clippy::print_stdout, reason = "a bench prints its results")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use synthmr_audit::detectors::nearest_plain;
use synthmr_core::LabelScheme;
use synthmr_core::random::{Stream, rng};
use synthmr_core::records::{Origin, SamplingRecord};
use synthmr_data::store::{SliceStore, StoreError, StoreLayout, StoreWriter};
use synthmr_nets::engine;

const IMAGES: u32 = 2048;
const SIDE: usize = 256;
/// Pairs of the published problem.
const FULL_PAIRS: f64 = 100_000.0 * 23_000.0;
const MEMORY_BYTES: u64 = 4 << 30;

fn main() -> Result<(), Box<dyn Error>> {
    let number = |i: usize, default: usize| std::env::args().nth(i).map_or(Ok(default), |n| n.parse());
    let (runs, threads) = (number(1, 5)?, number(2, 2)?);
    engine::set_threads(threads);
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("noise.store");
    write_noise(&path)?;
    let store = SliceStore::open(&path)?;
    let indices: Vec<u32> = (0..IMAGES).collect();
    let search = || -> Result<f64, StoreError> {
        let start = Instant::now();
        let (queries, among) = ((&store, indices.as_slice()), (&store, indices.as_slice()));
        std::hint::black_box(nearest_plain(queries, among, 0, MEMORY_BYTES, &mut |_| true)?);
        Ok(start.elapsed().as_secs_f64())
    };
    search()?;
    let mut seconds = (0..runs.max(1)).map(|_| search()).collect::<Result<Vec<f64>, _>>()?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let pairs = f64::from(IMAGES).powi(2);
    let line = serde_json::json!({
        "bench": "plain-nearest-2048-256",
        "system": "synthmr",
        "seconds_median": median,
        "seconds_min": seconds[0],
        "seconds_max": seconds[seconds.len() - 1],
        "runs": seconds.len(),
        "full_problem_minutes": (median * FULL_PAIRS / pairs / 6.0).round() / 10.0,
    });
    println!("{line}");
    Ok(())
}

/// A store of noise; times do not depend on the values.
fn write_noise(path: &Path) -> Result<(), StoreError> {
    let layout = StoreLayout {
        channels: vec!["T1".to_owned()],
        height: SIDE,
        width: SIDE,
        labels: LabelScheme::brats(),
    };
    let mut writer = StoreWriter::create(path, layout)?;
    let label = vec![0; SIDE * SIDE];
    let mut noise = vec![0f32; SIDE * SIDE];
    for slice in 0..IMAGES {
        synthmr_core::random::Draw::fill_normal(&mut rng(0, Stream::Test, u64::from(slice)), &mut noise);
        let image: Vec<u8> = noise.iter().map(|x| (128.0 + 40.0 * x) as u8).collect();
        writer.push(&image, &label, None, slice as i32)?;
    }
    let origin = Origin::Sampled(Box::new(SamplingRecord::without_generators()));
    writer.finish(origin).map(drop)
}

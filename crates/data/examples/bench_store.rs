//! Time to gather 1,000 slices of 4 x 64 x 64 in random batches from a warm store, as a JSON line; the peer is
//! `tools/bench/store_numpy.py`.
//!
//! `cargo run --release -p synthmr-data --example bench_store [RUNS]`

#![expect(clippy::print_stdout, reason = "a bench prints its results")]

use std::error::Error;
use std::path::Path;
use std::time::Instant;

use synthmr_core::LabelScheme;
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{Origin, SamplingRecord};
use synthmr_data::store::{SliceStore, StoreError, StoreLayout, StoreWriter};

const SLICES: usize = 1000;
const CHANNELS: [&str; 4] = ["T1", "T1ce", "T2", "FLAIR"];
const SIDE: usize = 64;
const BATCH: usize = 16;
/// Batches between two looks at the clock: 10,000 slices.
const BATCHES: usize = 625;

fn main() -> Result<(), Box<dyn Error>> {
    let runs: usize = std::env::args().nth(1).map_or(Ok(15), |n| n.parse())?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("noise.store");
    write_noise(&path)?;
    let store = SliceStore::open(&path)?;
    let mut r = rng(0, Stream::Test, 1);
    let indices: Vec<u32> = (0..BATCHES * BATCH).map(|_| r.below(SLICES as u64) as u32).collect();
    let mut images = vec![0; BATCH * store.manifest().image_bytes()];
    let mut labels = vec![0; BATCH * store.manifest().label_bytes()];
    let mut gather = || -> Result<f64, StoreError> {
        let start = Instant::now();
        for batch in indices.chunks_exact(BATCH) {
            store.gather(batch, &mut images, &mut labels)?;
            std::hint::black_box((&images, &labels));
        }
        Ok(start.elapsed().as_secs_f64() * 1000.0 / indices.len() as f64)
    };
    gather()?;
    let mut seconds = (0..runs.max(1)).map(|_| gather()).collect::<Result<Vec<f64>, _>>()?;
    seconds.sort_by(f64::total_cmp);
    let median = seconds[seconds.len() / 2];
    let line = serde_json::json!({
        "bench": "store-gather-1000-64",
        "system": "synthmr",
        "seconds_median": median,
        "seconds_min": seconds[0],
        "seconds_max": seconds[seconds.len() - 1],
        "runs": seconds.len(),
        "slices_per_second": (1000.0 / median).round(),
    });
    println!("{line}");
    Ok(())
}

/// A store of noise; times do not depend on the values.
fn write_noise(path: &Path) -> Result<(), StoreError> {
    let channels = CHANNELS.map(str::to_owned).to_vec();
    let layout = StoreLayout { channels, height: SIDE, width: SIDE, labels: LabelScheme::brats() };
    let mut writer = StoreWriter::create(path, layout)?;
    let mut r = rng(0, Stream::Test, 0);
    for slice in 0..SLICES {
        let image: Vec<u8> = (0..CHANNELS.len() * SIDE * SIDE).map(|_| r.below(256) as u8).collect();
        let label: Vec<u8> = (0..SIDE * SIDE).map(|_| r.below(4) as u8).collect();
        writer.push(&image, &label, None, slice as i32)?;
    }
    let origin = Origin::Sampled(Box::new(SamplingRecord::without_generators()));
    writer.finish(origin).map(drop)
}

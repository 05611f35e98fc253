//! Time to prepare one subject of 240 x 240 x 155 (five gzip volumes to slices of 64 x 64, recipe robust), as a
//! JSON line; the peer is `tools/bench/import_nibabel.py`.
//!
//! `cargo run --release -p synthmr-data --example bench_import [RUNS]`
//!
//! The subject is the first of the real ones where they are at hand (`SYNTHMR_REAL_DATA`, or the folder beside
//! the checkout), else a phantom, which stays in `target/bench` for the peer. `crc32` is that of the images
//! followed by the labels, to be compared with the peer's.

#![expect(clippy::print_stdout, reason = "a bench prints its results")]

use std::error::Error;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::time::Instant;

use synthmr_data::cohort;
use synthmr_data::phantom::{self, PhantomOptions};
use synthmr_data::prepare::{Preparation, Recipe};

fn main() -> Result<(), Box<dyn Error>> {
    let runs: usize = std::env::args().nth(1).map_or(Ok(15), |n| n.parse())?;
    let (input, folder) = input()?;
    let cohort = cohort::discover(&folder)?;
    let subject = cohort.subjects.first().ok_or("expected a subject, found none")?;
    let preparation = Preparation::new(Recipe::Robust, 64)?;
    let prepared = preparation.subject(&cohort, subject)?;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&prepared.images);
    crc.update(&prepared.labels);
    let mut seconds = Vec::new();
    for _ in 0..runs.max(1) {
        let start = Instant::now();
        std::hint::black_box(preparation.subject(&cohort, subject)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "bench": "import-subject-240",
        "system": "synthmr",
        "seconds_median": seconds[seconds.len() / 2],
        "seconds_min": seconds[0],
        "seconds_max": seconds[seconds.len() - 1],
        "runs": seconds.len(),
        "input": input,
        "slices": prepared.slices.len(),
        "crc32": crc.finalize(),
    });
    println!("{line}");
    Ok(())
}

/// What is prepared, and the cohort's folder.
fn input() -> Result<(&'static str, PathBuf), Box<dyn Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let own = std::env::var_os("SYNTHMR_REAL_DATA").filter(|folder| !folder.is_empty());
    let real = own.map_or_else(|| root.join("../shared/data/brats2021"), PathBuf::from);
    if real.is_dir() {
        return Ok(("real", real));
    }
    let bench = root.join("target/bench");
    let folder = bench.join("phantom-240");
    if !folder.is_dir() {
        std::fs::create_dir_all(&bench)?;
        phantom::generate(&folder, &PhantomOptions { subjects: 1, seed: 7, size: 240 }, &|_| {
            ControlFlow::Continue(())
        })?;
    }
    Ok(("phantom", folder))
}

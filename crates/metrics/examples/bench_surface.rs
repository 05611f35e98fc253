//! Times all metrics of a subject and prints one JSON line a case, with the values, so that a peer can be timed
//! and compared in the same run (`tools/bench/surface_medpy.py`).
//!
//! `bench_surface [--repeats N] [CASES.json]`: without a file, a made-up subject of 240 x 240 x 155 voxels. The
//! file holds a list of `{name, shape, spacing_mm, truth, prediction}`; the last two name files of raw `u8`
//! labels beside it.

#![expect(clippy::print_stdout, reason = "a bench's result is what it prints")]

use std::error::Error;
use std::path::{Path, PathBuf};
use std::time::Instant;

use serde::Deserialize;
use synthmr_core::LabelScheme;
use synthmr_metrics::evaluate_subject;

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    truth: PathBuf,
    prediction: PathBuf,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (mut repeats, mut cases) = (15, None);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--repeats" {
            repeats = arguments.next().ok_or("--repeats wants a number")?.parse()?;
        } else {
            cases = Some(PathBuf::from(argument));
        }
    }
    let Some(cases) = cases else {
        let shape = [155, 240, 240];
        let (truth, prediction) = (nested_ellipsoids(shape, 0.0), nested_ellipsoids(shape, 3.0));
        return bench("synthetic", shape, [1.0; 3], &truth, &prediction, repeats);
    };
    let folder = cases.parent().unwrap_or(Path::new("."));
    let list: Vec<Case> = serde_json::from_slice(&std::fs::read(&cases)?)?;
    for case in list {
        let (truth, prediction) =
            (std::fs::read(folder.join(case.truth))?, std::fs::read(folder.join(case.prediction))?);
        bench(&case.name, case.shape, case.spacing_mm, &truth, &prediction, repeats)?;
    }
    Ok(())
}

fn bench(
    name: &str,
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    truth: &[u8],
    prediction: &[u8],
    repeats: usize,
) -> Result<(), Box<dyn Error>> {
    let scheme = LabelScheme::brats();
    let values = evaluate_subject(truth, prediction, shape, spacing_mm, &scheme)?;
    let mut seconds = Vec::new();
    for _ in 0..repeats.max(1) {
        let start = Instant::now();
        std::hint::black_box(evaluate_subject(truth, prediction, shape, spacing_mm, &scheme)?);
        seconds.push(start.elapsed().as_secs_f64());
    }
    seconds.sort_by(f64::total_cmp);
    let line = serde_json::json!({
        "bench": "surface",
        "peer": "synthmr",
        "case": name,
        "shape": shape,
        "threads": std::thread::available_parallelism()?.get(),
        "repeats": repeats,
        "seconds_median": seconds[seconds.len() / 2],
        "seconds_min": seconds[0],
        "classes": values.0,
        "regions": values.1,
    });
    println!("{line}");
    Ok(())
}

/// Oedema around necrosis with an enhancing rim; `shift` voxels move and deform it.
fn nested_ellipsoids(shape: [usize; 3], shift: f64) -> Vec<u8> {
    let mut labels = vec![0; shape.iter().product()];
    for (i, label) in labels.iter_mut().enumerate() {
        let at = [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]].map(|v| v as f64);
        let wave = 1.0 + 0.06 * shift * (at[0] / 7.0).sin() * (at[1] / 5.0).cos();
        let radius = |center: [f64; 3], size: [f64; 3]| -> f64 {
            (0..3).map(|axis| ((at[axis] - center[axis] - shift) / size[axis]).powi(2)).sum::<f64>() * wave
        };
        let (oedema, core) = (
            radius([80.0, 120.0, 90.0], [32.0, 45.0, 38.0]),
            radius([84.0, 118.0, 92.0], [17.0, 20.0, 19.0]),
        );
        *label = match (oedema, core) {
            (_, core) if core < 0.5 => 1,
            (_, core) if core < 1.0 => 3,
            (oedema, _) if oedema < 1.0 => 2,
            _ => 0,
        };
    }
    labels
}

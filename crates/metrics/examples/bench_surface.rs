//! Times all metrics of a subject, HD95 among them, and prints one JSON line a case with the values; the peer is
//! `tools/bench/surface_medpy.py`, which computes HD95 alone.
//!
//! `cargo run --release -p synthmr-metrics --example bench_surface [--repeats N] [CASES.json]`
//!
//! Without a file: a made-up subject of 240 x 240 x 155 voxels, the same as the peer's. The file holds a list of
//! `{name, shape, spacing_mm, truth, prediction}`; the last two name files of raw `u8` labels beside it.

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
        let (truth, prediction) = (made_up(shape, 0.0), made_up(shape, 3.0));
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
        "bench": format!("hd95-{}x{}x{}", shape[2], shape[1], shape[0]),
        "system": "synthmr",
        "seconds_median": seconds[seconds.len() / 2],
        "seconds_min": seconds[0],
        "seconds_max": seconds[seconds.len() - 1],
        "runs": seconds.len(),
        "case": name,
        "classes": values.0,
        "regions": values.1,
    });
    println!("{line}");
    Ok(())
}

/// Oedema around an enhancing rim around necrosis; `shift` voxels move and deform them. `[z, y, x]`.
fn made_up(shape: [usize; 3], shift: f64) -> Vec<u8> {
    let s = shift;
    let strokes: [(u8, [f64; 3], [f64; 3]); 3] = [
        (2, [80.0 + s, 120.0 + s, 90.0 - s], [32.0, 45.0 - s, 38.0]),
        (3, [84.0 + s, 118.0, 92.0], [17.0, 20.0, 19.0 + s]),
        (1, [84.0, 118.0 + s, 92.0], [12.0, 14.0, 13.0 - s]),
    ];
    let label_at = |i: usize| {
        let at = [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]].map(|v| v as f64);
        let inside = |center: &[f64; 3], radii: &[f64; 3]| {
            (0..3).map(|axis| ((at[axis] - center[axis]) / radii[axis]).powi(2)).sum::<f64>() <= 1.0
        };
        // Later strokes lie over earlier ones.
        let top = strokes.iter().rev().find(|(_, center, radii)| inside(center, radii));
        top.map_or(0, |(label, ..)| *label)
    };
    (0..shape.iter().product()).map(label_at).collect()
}

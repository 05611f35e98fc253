//! Realism metrics beside pytorch-fid, torch-fidelity, prdc, pytorch-msssim, scipy and numpy, as
//! `tools/golden/realism.py` wrote them (versions inside the file).
//!
//! Tolerances: counts are equal. 1e-6 for metrics of features, as products of features are f32 here and f64 there;
//! pytorch-fid's root of a product without full rank is good to about 1e-5 itself, and pytorch-msssim's window is f32 (1e-5). 1e-9 for the rest, which differs in the
//! order of sums.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ops::ControlFlow;

use serde::Deserialize;
use synthmr_metrics::realism::annotation::describe;
use synthmr_metrics::realism::contrast::masked_correlation;
use synthmr_metrics::realism::frechet::{Moments, frechet, frechet_of_moments};
use synthmr_metrics::realism::histogram::{wasserstein_of_histograms, wasserstein_of_samples};
use synthmr_metrics::realism::inception_score::inception_score;
use synthmr_metrics::realism::kid::{Subset, kid};
use synthmr_metrics::realism::ms_ssim::ms_ssim;
use synthmr_metrics::realism::prdc::prdc;
use synthmr_metrics::realism::{FeatureMatrix, spectrum};

#[derive(Deserialize)]
struct Golden {
    sets: Vec<Sets>,
    inception_score: Score,
    images: Vec<Images>,
    wasserstein: Wasserstein,
    labels: Vec<Label>,
}

#[derive(Deserialize)]
struct Sets {
    rows: usize,
    others: usize,
    dims: usize,
    shift: f64,
    nearest: usize,
    frechet: f64,
    kid_size: u32,
    kid_mean: f64,
    kid_deviation: f64,
    precision: f64,
    recall: f64,
    density: f64,
    coverage: f64,
}

#[derive(Deserialize)]
struct Score {
    rows: usize,
    classes: usize,
    splits: usize,
    mean: f64,
    deviation: f64,
}

#[derive(Deserialize)]
struct Images {
    side: usize,
    ms_ssim: [f64; 2],
    spectrum: Vec<f64>,
    correlation: [f64; 2],
}

#[derive(Deserialize)]
struct Wasserstein {
    histograms: f64,
    samples: f64,
}

#[derive(Deserialize)]
struct Label {
    area: u32,
    components: u32,
    row: f64,
    column: f64,
}

fn golden() -> Golden {
    let path = format!("{}/tests/golden/realism.json", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

/// `uniform` of the script.
fn uniform(start: u64, count: usize) -> Vec<f64> {
    let one = |i: u64| {
        let z = i.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) >> 40) as f64 / f64::from(1 << 24)
    };
    (start..start + count as u64).map(one).collect()
}

/// `features` of the script.
fn features(seed: u64, rows: usize, dims: usize, shift: f64) -> FeatureMatrix {
    let u = uniform(seed, rows * (dims + 1));
    let value = |row: usize, j: usize| {
        let at = row * (dims + 1) + j;
        ((u[at] + u[at + 1] + shift) / (1.0 + j as f64 / dims as f64)) as f32
    };
    let values = (0..rows * dims).map(|i| value(i / dims, i % dims)).collect();
    FeatureMatrix::new(values, dims).unwrap()
}

fn assert_close(found: f64, expected: f64, tolerance: f64, what: &str) {
    assert!(
        (found - expected).abs() <= tolerance * expected.abs().max(1.0),
        "{what}: {found} is not {expected}"
    );
}

#[test]
fn feature_metrics_equal_other_programs() {
    for case in golden().sets {
        let what = format!("{} and {} images of {} features", case.rows, case.others, case.dims);
        let (x, y) = (
            features(1, case.rows, case.dims, 0.0),
            features(10_000_000, case.others, case.dims, case.shift),
        );
        let (x, y) = (x.view(), y.view());
        let few = case.rows.min(case.others) <= case.dims;
        let tolerance = if few { 1e-5 } else { 1e-6 };
        let found = frechet(x, y).unwrap();
        assert_eq!(found.rank_deficient, few, "{what}");
        assert!(
            (found.distance - case.frechet).abs() <= tolerance * case.frechet,
            "{what}: {found:?} {}",
            case.frechet
        );
        let moments = frechet_of_moments(&Moments::of(x).unwrap(), &Moments::of(y).unwrap()).unwrap();
        assert!((moments.distance - case.frechet).abs() <= tolerance * case.frechet, "{what}: {moments:?}");
        let subsets: Vec<Subset> = (0..3)
            .map(|s| Subset {
                first: (s..s + case.kid_size).collect(),
                second: (0..case.kid_size).rev().collect(),
            })
            .collect();
        let found = kid(x, y, &subsets).unwrap();
        assert_close(found.mean, case.kid_mean, 1e-6, &what);
        assert_close(found.deviation, case.kid_deviation, 1e-6, &what);
        let found = prdc(x, y, case.nearest, &mut |_| ControlFlow::Continue(())).unwrap();
        for (found, expected) in [
            (found.precision, case.precision),
            (found.recall, case.recall),
            (found.density, case.density),
            (found.coverage, case.coverage),
        ] {
            assert_close(found, expected, 1e-12, &what);
        }
    }
}

#[test]
fn inception_score_equals_torch_fidelity() {
    let expected = golden().inception_score;
    let mut values = Vec::new();
    let logits = features(77, expected.rows, expected.classes, 0.0);
    for i in 0..expected.rows {
        let powers: Vec<f64> = logits.view().row(i).iter().map(|&x| (10.0 * f64::from(x)).exp()).collect();
        let sum: f64 = powers.iter().sum();
        values.extend(powers.iter().map(|power| (power / sum) as f32));
    }
    let probabilities = FeatureMatrix::new(values, expected.classes).unwrap();
    let found = inception_score(probabilities.view(), expected.splits).unwrap();
    assert_close(found.mean, expected.mean, 1e-6, "mean");
    assert_close(found.deviation, expected.deviation, 1e-6, "deviation");
}

/// `image` of the script.
fn image(seed: u64, side: usize, level: f64) -> Vec<u8> {
    let noise = uniform(seed, side * side);
    let half = side as f64 / 2.0;
    let pixel = |i: usize| {
        let (y, x) = ((i / side) as f64, (i % side) as f64);
        let inside = (y - half).powi(2) + (x - half).powi(2) < (side as f64 * 0.4).powi(2);
        let bright = if x > half { 40.0 } else { 0.0 };
        if inside { (level + 80.0 * noise[i] + bright) as u8 } else { 0 }
    };
    (0..side * side).map(pixel).collect()
}

#[test]
fn image_metrics_equal_other_programs() {
    for case in golden().images {
        let side = case.side;
        let (a, b) = (image(5, side, 60.0), image(99, side, 90.0));
        let c: Vec<u8> = a.iter().zip(image(31, side, 0.0)).map(|(a, b)| a.saturating_add(b / 4)).collect();
        assert_close(ms_ssim(&a, &b, side, side).unwrap(), case.ms_ssim[0], 1e-5, "unrelated");
        assert_close(ms_ssim(&a, &c, side, side).unwrap(), case.ms_ssim[1], 1e-5, "alike");
        assert_close(masked_correlation(&a, &b).unwrap(), case.correlation[0], 1e-9, "correlation");
        assert_close(masked_correlation(&a, &c).unwrap(), case.correlation[1], 1e-9, "correlation");
        let found = spectrum::profile(&power(&a, side), side, side);
        assert_eq!(found.len(), case.spectrum.len());
        for (found, expected) in found.iter().zip(&case.spectrum) {
            // The power is rounded to f32 here.
            assert!((found - expected).abs() <= 1e-6 * expected, "{side}: {found} {expected}");
        }
    }
}

/// Squared magnitudes of the real Fourier transform `[side, side / 2 + 1]`, by its definition.
fn power(plane: &[u8], side: usize) -> Vec<f32> {
    let turn = |k: usize| (std::f64::consts::TAU * (k % side) as f64 / side as f64).sin_cos();
    let table: Vec<(f64, f64)> = (0..side).map(turn).collect();
    let columns = side / 2 + 1;
    let mut rows = vec![(0.0, 0.0); side * columns];
    for y in 0..side {
        for u in 0..columns {
            for x in 0..side {
                let (sin, cos) = table[u * x % side];
                let pixel = f64::from(plane[y * side + x]);
                rows[y * columns + u].0 += pixel * cos;
                rows[y * columns + u].1 -= pixel * sin;
            }
        }
    }
    let one = |v: usize, u: usize| {
        let (mut real, mut imaginary) = (0.0, 0.0);
        for y in 0..side {
            let ((a, b), (sin, cos)) = (rows[y * columns + u], table[v * y % side]);
            real += a * cos + b * sin;
            imaginary += b * cos - a * sin;
        }
        (real * real + imaginary * imaginary) as f32
    };
    (0..side * columns).map(|i| one(i / columns, i % columns)).collect()
}

#[test]
fn distances_of_distributions_equal_scipy() {
    let expected = golden().wasserstein;
    let (p, q) = (uniform(3, 64), uniform(400, 64).iter().map(|x| x * x).collect::<Vec<_>>());
    assert_close(wasserstein_of_histograms(&p, &q, 4.0).unwrap(), expected.histograms, 1e-9, "histograms");
    let s: Vec<f64> = uniform(900, 41).iter().map(|x| x * 10.0).collect();
    let t: Vec<f64> = uniform(2000, 33).iter().map(|x| (x * 12.0).round_ties_even()).collect();
    assert_close(wasserstein_of_samples(&s, &t).unwrap(), expected.samples, 1e-9, "samples");
}

#[test]
fn annotations_equal_scipys_labels() {
    let mut labels: Vec<u8> = uniform(55, 48 * 40).iter().map(|x| (x * 4.0) as u8).collect();
    for (i, label) in labels.iter_mut().enumerate() {
        let (y, x) = (i / 40, i % 40);
        if (10..30).contains(&y) && (8..33).contains(&x) && *label > 1 {
            *label = 2;
        }
    }
    let found = describe(&labels, 48, 40, 4).classes;
    for (found, expected) in found.iter().zip(golden().labels) {
        assert_eq!((found.area, found.components), (expected.area, expected.components));
        assert_close(found.row, expected.row, 1e-12, "row");
        assert_close(found.column, expected.column, 1e-12, "column");
    }
}

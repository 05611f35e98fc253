//! Our values beside those of MedPy, MONAI, SimpleITK, brats-evaluation and scipy, written by `tools/golden/metrics.py` (versions inside the
//! files).
//!
//! Tolerances: counts and ratios must be equal. Distances may differ by the rounding of a few f64 operations,
//! because scipy multiplies by the spacing before it squares and sums in another order: 1e-13 relative, and
//! nothing at 1 mm, where squared distances are integers (the mean excepted: numpy adds in pairs). MONAI
//! takes quantiles in f32, where the place between two neighbours is off by n times 6e-8 of their gap: 2e-5.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeMap;

use serde::Deserialize;
use synthmr_core::LabelScheme;
use synthmr_core::records::MetricValues;
use synthmr_metrics::statistics::{Bootstrap, holm, wilcoxon};
use synthmr_metrics::{Hd95Convention, evaluate_subject, evaluate_subject_with};

#[derive(Deserialize)]
struct Segmentation {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    name: String,
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    truth: Vec<Stroke>,
    prediction: Vec<Stroke>,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
enum Stroke {
    Ellipsoid { label: u8, center: [f64; 3], radii: [f64; 3] },
    Box { label: u8, low: [usize; 3], high: [usize; 3] },
    Speckle { label: u8, seed: u64, one_in: u64 },
}

#[derive(Deserialize)]
struct Expected {
    classes: BTreeMap<String, Values>,
    regions: BTreeMap<String, Values>,
}

#[derive(Deserialize)]
struct Values {
    truth_voxels: u64,
    prediction_voxels: u64,
    dice: Option<f64>,
    precision: Option<f64>,
    recall: Option<f64>,
    hd: Option<f64>,
    hd95: Option<f64>,
    assd: Option<f64>,
    hd95_monai: Option<f64>,
    truth_lesions: u64,
    prediction_lesions: u64,
    matched_lesions: u64,
    lesion_dice: Option<f64>,
}

fn splitmix64(x: u64) -> u64 {
    let z = x.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}

/// `paint` of the script.
fn paint(shape: [usize; 3], strokes: &[Stroke]) -> Vec<u8> {
    let mut labels = vec![0; shape.iter().product()];
    for stroke in strokes {
        for (i, voxel) in labels.iter_mut().enumerate() {
            let at = [i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]];
            let (hit, label) = match stroke {
                Stroke::Ellipsoid { label, center, radii } => {
                    let d: [f64; 3] =
                        std::array::from_fn(|a| ((at[a] as f64 - center[a]) / radii[a]).powi(2));
                    (d[0] + d[1] + d[2] <= 1.0, label)
                }
                Stroke::Box { label, low, high } => {
                    ((0..3).all(|a| (low[a]..high[a]).contains(&at[a])), label)
                }
                Stroke::Speckle { label, seed, one_in } => {
                    (splitmix64(i as u64 + seed).is_multiple_of(*one_in), label)
                }
            };
            if hit {
                *voxel = *label;
            }
        }
    }
    labels
}

fn read<T: for<'a> Deserialize<'a>>(name: &str) -> T {
    let path = format!("{}/tests/golden/{name}", env!("CARGO_MANIFEST_DIR"));
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn assert_close(found: Option<f64>, expected: Option<f64>, tolerance: f64, what: &str) {
    match (found, expected) {
        (Some(a), Some(b)) => assert!((a - b).abs() <= tolerance * b.abs(), "{what}: {a} is not {b}"),
        (a, b) => assert_eq!(a, b, "{what}"),
    }
}

fn compare(found: &MetricValues, monai: &MetricValues, expected: &Values, isotropic: bool, what: &str) {
    assert_eq!(
        (found.truth_voxels, found.prediction_voxels),
        (expected.truth_voxels, expected.prediction_voxels),
        "{what}"
    );
    let distance = if isotropic { 0.0 } else { 1e-13 };
    assert_close(found.dice, expected.dice, 0.0, &format!("{what} dice"));
    assert_close(found.precision, expected.precision, 0.0, &format!("{what} precision"));
    assert_close(found.recall, expected.recall, 0.0, &format!("{what} recall"));
    assert_close(found.hd, expected.hd, distance, &format!("{what} hd"));
    assert_close(found.hd95, expected.hd95, distance, &format!("{what} hd95"));
    assert_close(found.assd, expected.assd, 1e-13, &format!("{what} assd"));
    let lesions = (found.truth_lesions, found.prediction_lesions, found.matched_lesions);
    let theirs = (expected.truth_lesions, expected.prediction_lesions, expected.matched_lesions);
    assert_eq!(lesions, theirs, "{what} lesions");
    assert_close(found.lesion_dice, expected.lesion_dice, 1e-12, &format!("{what} lesion-wise Dice"));
    assert_close(monai.hd95, expected.hd95_monai, 2e-5, &format!("{what} hd95 of MONAI"));
}

#[test]
fn segmentation_metrics_equal_medpy_and_monai() {
    let golden: Segmentation = read("segmentation.json");
    let scheme = LabelScheme::brats();
    let mut distances = 0;
    for case in &golden.cases {
        let (truth, prediction) = (paint(case.shape, &case.truth), paint(case.shape, &case.prediction));
        let (shape, spacing) = (case.shape, case.spacing_mm);
        let ours = evaluate_subject(&truth, &prediction, shape, spacing, &scheme).unwrap();
        let monai =
            evaluate_subject_with(&truth, &prediction, shape, spacing, &scheme, Hd95Convention::Monai)
                .unwrap();
        let kinds =
            [(&ours.0, &monai.0, &case.expected.classes), (&ours.1, &monai.1, &case.expected.regions)];
        for (ours, monai, expected) in kinds {
            assert_eq!(ours.len(), expected.len());
            for (name, expected) in expected {
                let what = format!("{} {name}", case.name);
                compare(&ours[name], &monai[name], expected, spacing == [1.0; 3], &what);
                distances += usize::from(expected.hd.is_some());
            }
        }
    }
    assert!(
        golden.cases.len() >= 40 && distances > 80,
        "{} cases, {distances} distances",
        golden.cases.len()
    );
}

/// Swapping truth and prediction swaps precision and recall and leaves the rest.
#[test]
fn metrics_are_symmetric() {
    let golden: Segmentation = read("segmentation.json");
    let scheme = LabelScheme::brats();
    for case in &golden.cases {
        let (truth, prediction) = (paint(case.shape, &case.truth), paint(case.shape, &case.prediction));
        let one = evaluate_subject(&truth, &prediction, case.shape, case.spacing_mm, &scheme).unwrap();
        let other = evaluate_subject(&prediction, &truth, case.shape, case.spacing_mm, &scheme).unwrap();
        for (name, a) in &one.0 {
            let b = &other.0[name];
            assert_eq!((a.dice, a.hd, a.hd95), (b.dice, b.hd, b.hd95), "{} {name}", case.name);
            assert_eq!((a.precision, a.recall), (b.recall, b.precision), "{} {name}", case.name);
            assert_close(a.assd, b.assd, 1e-13, &case.name);
        }
    }
}

/// The edge of the image counts as background, so background around the image changes nothing.
#[test]
fn a_larger_image_around_the_masks_changes_nothing() {
    let golden: Segmentation = read("segmentation.json");
    let scheme = LabelScheme::brats();
    for case in &golden.cases {
        let shape = case.shape;
        let larger = [shape[0] + 3, shape[1] + 4, shape[2] + 65];
        let pad = |labels: &[u8]| {
            let mut padded = vec![0; larger.iter().product()];
            for (row, voxels) in labels.chunks(shape[2]).enumerate() {
                let start = ((row / shape[1] + 1) * larger[1] + row % shape[1] + 2) * larger[2] + 33;
                padded[start..start + shape[2]].copy_from_slice(voxels);
            }
            padded
        };
        let (truth, prediction) = (paint(shape, &case.truth), paint(shape, &case.prediction));
        let one = evaluate_subject(&truth, &prediction, shape, case.spacing_mm, &scheme).unwrap();
        let padded =
            evaluate_subject(&pad(&truth), &pad(&prediction), larger, case.spacing_mm, &scheme).unwrap();
        assert_eq!(one, padded, "{}", case.name);
    }
}

#[derive(Deserialize)]
struct Statistics {
    wilcoxon: Vec<Test>,
    bootstrap: Vec<Resampled>,
    holm: Corrected,
}

#[derive(Deserialize)]
struct Test {
    differences: Vec<f64>,
    statistic: f64,
    p_value: Option<f64>,
    n: usize,
}

#[derive(Deserialize)]
struct Resampled {
    sample: Vec<f64>,
    level: f64,
    resamples: usize,
    low: f64,
    high: f64,
    standard_error: f64,
}

#[derive(Deserialize)]
struct Corrected {
    p_values: Vec<f64>,
    adjusted: Vec<f64>,
}

#[test]
fn wilcoxon_equals_scipy() {
    for test in read::<Statistics>("statistics.json").wilcoxon {
        let found = wilcoxon(&test.differences).unwrap().unwrap();
        assert_eq!((found.statistic, found.n), (test.statistic, test.n));
        assert_eq!(found.exact, test.n <= 50);
        if test.p_value.is_some() {
            assert_close(Some(found.p_value), test.p_value, 1e-12, &format!("p value of {} pairs", test.n));
        }
    }
}

/// Both sides draw at random; scipy with 400,000 resamples, ours with 20,000: five of our standard errors. (Four
/// subjects have so few means that the ends are equal, but for the order of their sums.)
#[test]
fn bootstrap_agrees_with_scipy() {
    for case in read::<Statistics>("statistics.json").bootstrap {
        let found = Bootstrap::new(case.resamples, 11, case.level).unwrap().mean(&case.sample).unwrap();
        for (found, expected) in [(found.low.unwrap(), case.low), (found.high.unwrap(), case.high)] {
            let error = (found - expected).abs();
            assert!(
                error <= 5.0 * case.standard_error + 1e-12,
                "n {}: {found}, {expected}",
                case.sample.len()
            );
        }
    }
}

#[test]
fn holm_equals_an_independent_implementation() {
    let golden = read::<Statistics>("statistics.json").holm;
    for (found, expected) in holm(&golden.p_values).into_iter().zip(golden.adjusted) {
        assert_close(Some(found), Some(expected), 1e-14, "holm");
    }
}

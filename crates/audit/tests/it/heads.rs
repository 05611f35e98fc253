//! Heads of subjects who do not exist: ellipses with folds, ventricles and a spot, each by its own numbers, two contrasts.

use std::path::Path;

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{Origin, PreparationRecord, SplitMethod, SplitRecord, SubjectRecord};
use synthmr_core::{Digest, LabelScheme, Split};
use synthmr_data::store::{SliceStore, StoreLayout, StoreWriter};

pub(crate) const SIDE: usize = 64;
pub(crate) const CHANNELS: usize = 2;

/// Slice `number` of a subject, u8 `[2, SIDE, SIDE]`.
pub(crate) fn slice(subject: u64, number: i32) -> Vec<u8> {
    moved_slice(subject, number, 0.0, 1.0)
}

/// The same head turned by `angle` in radians and enlarged by `zoom`: drawn so, not resampled.
pub(crate) fn moved_slice(subject: u64, number: i32, angle: f64, zoom: f64) -> Vec<u8> {
    let mut r = rng(subject, Stream::Test, 1);
    let mut own = |low: f64, high: f64| r.uniform_in(low, high);
    let (width, height) = (own(0.5, 0.62), own(0.68, 0.8));
    let waves: Vec<[f64; 3]> = (0..6).map(|k| [own(-0.03, 0.03), own(0.0, 6.3), f64::from(k + 2)]).collect();
    let ventricle = [own(0.05, 0.14), own(0.14, 0.3), own(-0.12, 0.12), own(-0.15, 0.15)];
    let spot = [own(-0.35, 0.35), own(-0.45, 0.45), own(0.06, 0.16)];
    let folds = [own(6.0, 12.0), own(6.0, 12.0), own(0.0, 6.3)];
    let level = f64::from(number) * 0.01;
    let mut image = vec![0u8; CHANNELS * SIDE * SIDE];
    for pixel in 0..SIDE * SIDE {
        let place = |i: usize| (i as f64 + 0.5) * 2.0 / SIDE as f64 - 1.0;
        let (y0, x0) = (place(pixel / SIDE) / zoom, place(pixel % SIDE) / zoom);
        let (y, x) = (y0 * angle.cos() + x0 * angle.sin(), x0 * angle.cos() - y0 * angle.sin());
        let around = y.atan2(x);
        let bulge: f64 = waves.iter().map(|[size, phase, k]| size * (k * around + phase).sin()).sum();
        let radius = (x / (width - level)).hypot(y / (height - level)) - bulge;
        if radius > 1.0 {
            continue;
        }
        let inside = |cx: f64, cy: f64, rx: f64, ry: f64| ((x - cx) / rx).hypot((y - cy) / ry) < 1.0;
        let [vw, vh, vx, vy] = ventricle;
        let fold = (folds[0] * x + folds[2]).sin() * (folds[1] * y).cos();
        let (mut first, mut second) = (0.55 + 0.08 * fold, 0.45 - 0.1 * fold);
        if radius > 0.85 {
            (first, second) = (0.4, 0.6);
        }
        if inside(vx, vy, vw + level, vh + level) {
            (first, second) = (0.15, 0.95);
        }
        if inside(spot[0], spot[1], spot[2], spot[2]) {
            (first, second) = (0.3, 0.8);
        }
        image[pixel] = (255.0 * first) as u8;
        image[SIDE * SIDE + pixel] = (255.0 * second) as u8;
    }
    image
}

/// A store of subjects `0..parts.len()`, each with `slices` slices in its part; `poison` changes slices before they are
/// written.
pub(crate) fn store(
    path: &Path,
    parts: &[Split],
    slices: i32,
    poison: impl Fn(Split, &mut [u8]),
) -> SliceStore {
    let layout = StoreLayout {
        channels: vec!["T1".into(), "T2".into()],
        height: SIDE,
        width: SIDE,
        labels: LabelScheme::brats(),
    };
    let mut writer = StoreWriter::create(path, layout).unwrap();
    for (subject, &part) in parts.iter().enumerate() {
        for number in 0..slices {
            let mut image = slice(subject as u64, number);
            poison(part, &mut image);
            writer.push(&image, &vec![0; SIDE * SIDE], Some(subject as u32), number).unwrap();
        }
    }
    let record = |(subject, &split): (usize, &Split)| SubjectRecord {
        pseudonym: Digest::of(&subject.to_le_bytes()),
        split,
        slices: slices as usize,
        spacing_mm: [1.0; 3],
    };
    let origin = Origin::Cohort {
        preparation: PreparationRecord { recipe: "drawn".into(), steps: vec![] },
        split: SplitRecord { method: SplitMethod::List, request: "drawn".into(), digest: Digest::of(b"") },
        subjects: parts.iter().enumerate().map(record).collect(),
    };
    writer.finish(origin).unwrap();
    SliceStore::open(path).unwrap()
}

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::Path;

use synthmr_core::Split;
use synthmr_core::records::RealismRecord;
use synthmr_data::store::SliceStore;

use crate::common::{
    Degradation, OF_ANNOTATIONS, OF_IMAGES, levels, phantom_store, subjects, value, write_degraded,
};
use crate::{measured, measured_by};

/// Draws where intervals are looked at.
const DRAWS: usize = 10;

/// Numbers of a set of other subjects, as they are and degraded by level 2 and 3.
struct Curve {
    kind: Degradation,
    records: [RealismRecord; 3],
    /// Metrics that were found to move.
    moved: RefCell<BTreeSet<String>>,
}

impl Curve {
    /// All curves of some degradations of the store `ph.store` in `folder`.
    fn all(folder: &Path, store: &SliceStore, kinds: &[Degradation]) -> Vec<Self> {
        let test = store.indices(Split::Test);
        let record = |kind: Degradation, level: usize| {
            let name = format!("{kind:?}-{level}.store");
            write_degraded(store, &test, kind, level, &folder.join(&name)).unwrap();
            measured(folder, "ph.store:train", &name, 2).unwrap()
        };
        let same = record(Degradation::Blur, 0);
        let curve = |&kind: &Degradation| {
            let records = [same.clone(), record(kind, 2), record(kind, 3)];
            Self { kind, records, moved: RefCell::default() }
        };
        kinds.iter().map(curve).collect()
    }

    fn values(&self, metric: &str, channel: &str) -> [f64; 3] {
        self.records.each_ref().map(|record| value(record, metric, channel))
    }

    /// From the undegraded set on, every number is larger than the one before, by at least `by` in all.
    fn rises(&self, metric: &str, channel: &str, by: f64) {
        let [a, b, c] = self.values(metric, channel);
        assert!(a < b && b < c && c - a >= by, "{:?}: {metric} {channel} {a} {b} {c}", self.kind);
        self.moved.borrow_mut().insert(metric.to_owned());
    }

    fn falls(&self, metric: &str, channel: &str, by: f64) {
        let [a, b, c] = self.values(metric, channel);
        assert!(a > b && b >= c && a - c >= by, "{:?}: {metric} {channel} {a} {b} {c}", self.kind);
        self.moved.borrow_mut().insert(metric.to_owned());
    }

    /// `expected` is how far the degraded sets are from the undegraded one. That one is a little away from the real images,
    /// and by no more than that can the number be another; `by` is for pixels and bins, which have a size.
    fn becomes(&self, metric: &str, channel: &str, expected: [f64; 2], by: f64) {
        let [before, half, whole] = self.values(metric, channel);
        for (value, expected) in [half, whole].into_iter().zip(expected) {
            let named = format!("{:?}: {metric} {channel} {before} {value} {expected}", self.kind);
            assert!((value - expected).abs() <= before + by, "{named}");
        }
        self.rises(metric, channel, before);
    }

    /// All three are within `by`.
    fn stays(&self, metric: &str, channel: &str, by: f64) {
        let values = self.values(metric, channel);
        let spread =
            values.iter().fold(f64::MIN, |a, b| a.max(*b)) - values.iter().fold(f64::MAX, |a, b| a.min(*b));
        assert!(spread <= by, "{:?}: {metric} {channel} {values:?}", self.kind);
    }

    /// Metrics with `names` have not changed at all, in no channel.
    fn all_stay(&self, names: impl Fn(&str) -> bool) {
        let [same, degraded @ ..] = &self.records;
        for (at, before) in same.results.iter().enumerate().filter(|(_, result)| names(&result.metric)) {
            for record in degraded {
                let after = &record.results[at];
                assert_eq!((&before.metric, &before.channel), (&after.metric, &after.channel));
                assert_eq!(before.value, after.value, "{:?}: {} {}", self.kind, after.metric, after.channel);
            }
        }
    }

    /// No metric with `names` has been left out: one of the curves moves it.
    fn assert_all_moved(curves: &[Self], names: impl Fn(&str) -> bool) {
        let of_record = |record: &RealismRecord| -> BTreeSet<String> {
            record.results.iter().map(|result| result.metric.clone()).filter(|name| names(name)).collect()
        };
        let moved: BTreeSet<String> =
            curves.iter().flat_map(|curve| curve.moved.borrow().clone()).filter(|name| names(name)).collect();
        assert_eq!(moved, of_record(&curves[0].records[0]));
    }
}

fn is_of_annotations(metric: &str) -> bool {
    metric.starts_with("annotation_")
}

/// `inception_score` is missing here: random convolutions have no classes, and no record of theirs has it. That it rises
/// with certain and with different images is a test of `metrics::realism::inception_score`.
#[test]
fn every_metric_of_images_moves_as_its_definition_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = phantom_store(folder, 16, 32).unwrap();
    let fewer = [Degradation::FewSubjects, Degradation::LowSlices, Degradation::FewImages];
    let kinds: Vec<Degradation> = OF_IMAGES.into_iter().filter(|kind| !fewer.contains(kind)).collect();
    let curves = Curve::all(folder, &store, &kinds);
    for curve in &curves {
        if curve.kind != Degradation::Duplicates {
            curve.all_stay(|metric| is_of_annotations(metric) && metric != "annotation_intensity");
        }
        match curve.kind {
            Degradation::Blur => {
                curve.rises("frechet", "joint", 0.1);
                curve.rises("kid", "joint", 1e-4);
                curve.rises("power_spectrum", "mean", 3.0);
                curve.rises("ms_ssim", "mean", 0.05);
            }
            Degradation::Noise => {
                curve.rises("frechet", "joint", 0.1);
                curve.rises("power_spectrum", "mean", 0.5);
                curve.falls("ms_ssim", "mean", 0.02);
                curve.falls("precision", "joint", 0.5);
                curve.falls("density", "joint", 0.5);
            }
            Degradation::Shift => {
                curve.becomes("intensity_histogram", "T2", [16.0, 32.0], 2.0);
                curve.rises("frechet", "joint", 0.1);
                curve.falls("recall", "joint", 0.5);
                curve.rises("annotation_intensity", "ED/T2", 15.0);
            }
            Degradation::ForeignContrast => {
                curve.stays("frechet", "T1", 1e-3);
                curve.stays("intensity_histogram", "T1", 1e-6);
                curve.rises("cross_contrast", "T1+T1ce", 0.1);
                curve.rises("frechet", "joint", 0.01);
                curve.stays("cross_contrast", "T2+FLAIR", 1e-9);
            }
            Degradation::Duplicates => {
                // Balls around repeated images have no size.
                curve.falls("recall", "joint", 0.3);
                curve.falls("coverage", "joint", 0.1);
                curve.rises("frechet", "joint", 0.01);
            }
            other => unreachable!("{other:?} has a test of its own"),
        }
    }
    Curve::assert_all_moved(&curves, |metric| !is_of_annotations(metric));
}

#[test]
fn every_metric_of_annotations_moves_as_its_definition_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    // Of few subjects the places of tumours differ by more than they are moved here.
    let store = phantom_store(folder, 32, 32).unwrap();
    let test = store.indices(Split::Test);
    let with_et = test.iter().filter(|&&i| store.label(i as usize).contains(&3)).count();
    let with_et = with_et as f64 / test.len() as f64;
    let curves = Curve::all(folder, &store, &OF_ANNOTATIONS);
    for curve in &curves {
        curve.all_stay(|metric| !is_of_annotations(metric));
        if curve.kind != Degradation::MissingClass {
            curve.all_stay(|metric| metric == "annotation_presence");
        }
        match curve.kind {
            Degradation::ForeignLabels => {
                // Each annotation is a real one, and each image: only both together are wrong.
                for metric in ["annotation_area", "annotation_components", "annotation_position"] {
                    curve.stays(metric, "ED", 1e-9);
                }
                curve.stays("annotation_borders", "all", 1e-9);
                curve.rises("annotation_intensity", "ED/T2", 5.0);
            }
            Degradation::LargeLabels => {
                // Widths grow to 1.4 and 1.6, areas to the squares; small ones by whole pixels.
                for class in ["NCR", "ED", "ET"] {
                    curve.becomes("annotation_area", class, [0.96, 1.56], 0.2);
                    curve.stays("annotation_position", class, 0.01);
                }
                curve.all_stay(|metric| metric == "annotation_components");
                curve.stays("annotation_borders", "all", 0.02);
            }
            Degradation::MovedLabels => {
                for class in ["NCR", "ED", "ET"] {
                    curve.becomes("annotation_position", class, [2.0 / 32.0, 4.0 / 32.0], 1e-9);
                }
                let shape = ["annotation_area", "annotation_components", "annotation_borders"];
                curve.all_stay(|metric| shape.contains(&metric));
            }
            Degradation::CutLabels => {
                // Two and three cuts make up to three and four parts of one.
                curve.rises("annotation_components", "ED", 1.5);
                curve.rises("annotation_components", "ET", 1.5);
                curve.all_stay(|metric| metric == "annotation_area");
                curve.stays("annotation_position", "ED", 0.02);
            }
            Degradation::MissingClass => {
                curve.becomes("annotation_presence", "ET", [with_et / 2.0, with_et * 0.75], 0.01);
                for class in ["NCR", "ED"] {
                    curve.stays("annotation_presence", class, 0.0);
                    curve.stays("annotation_area", class, 0.0);
                    curve.stays("annotation_components", class, 0.0);
                    curve.stays("annotation_position", class, 0.0);
                }
            }
            Degradation::MixedBorders => {
                curve.rises("annotation_borders", "all", 0.1);
                curve.all_stay(|metric| metric == "annotation_area");
                curve.stays("annotation_position", "ED", 0.01);
            }
            other => unreachable!("{other:?} is of images"),
        }
    }
    Curve::assert_all_moved(&curves, is_of_annotations);
}

#[test]
fn missing_kinds_of_images_are_not_mistaken_for_fewer_images() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = phantom_store(folder, 32, 32).unwrap();
    let count = subjects(&store, &store.indices(Split::Test));
    // A level that keeps as many subjects as the one below is no level.
    assert_eq!((count, levels(Degradation::FewSubjects, count)), (16, vec![0, 1, 2, 3]));
    assert_eq!(levels(Degradation::FewSubjects, 5), [0, 1, 2]);
    assert_eq!(levels(Degradation::Blur, 5), [0, 1, 2, 3]);
    let kinds = [Degradation::FewSubjects, Degradation::LowSlices, Degradation::FewImages];
    let curves = Curve::all(folder, &store, &kinds);
    for (curve, level) in curves.iter().flat_map(|curve| [(curve, 2), (curve, 3)]) {
        let set = SliceStore::open(&folder.join(format!("{:?}-{level}.store", curve.kind))).unwrap();
        let different: BTreeSet<&[u8]> = (0..set.len()).map(|i| set.image(i)).collect();
        assert_eq!((set.len(), different.len()), (208 >> level, 208 >> level), "{:?} {level}", curve.kind);
    }
    let [subjects, slices, images] = &curves[..] else { unreachable!("a curve a kind") };
    let times = |curve: &Curve, metric: &str, channel: &str, expected: std::ops::Range<f64>| {
        let [_, few @ ..] = curve.values(metric, channel);
        let [_, all @ ..] = images.values(metric, channel);
        for (few, all) in few.into_iter().zip(all) {
            assert!(expected.contains(&(few / all)), "{:?}: {metric} {channel} {few} {all}", curve.kind);
        }
    };
    // What is made is real, and a part of the head is never made.
    times(slices, "precision", "joint", 0.8..1.2);
    times(slices, "recall", "joint", 0.0..0.5);
    times(slices, "coverage", "joint", 0.0..0.5);
    times(slices, "frechet", "joint", 2.0..f64::MAX);
    // Phantoms are alike to random convolutions; where their tumours are is not.
    times(subjects, "precision", "joint", 0.8..1.2);
    times(subjects, "frechet", "joint", 0.8..1.2);
    times(subjects, "annotation_position", "ED", 1.5..f64::MAX);
    times(subjects, "intensity_histogram", "mean", 1.1..f64::MAX);
}

#[test]
fn held_out_images_of_the_same_kind_are_at_the_floor() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = phantom_store(folder, 6, 32).unwrap();
    write_degraded(&store, &store.indices(Split::Test), Degradation::Blur, 0, &folder.join("same.store"))
        .unwrap();
    write_degraded(&store, &store.indices(Split::Test), Degradation::Blur, 3, &folder.join("blurred.store"))
        .unwrap();
    let record = measured(folder, "ph.store:train", "same.store", DRAWS).unwrap();
    // The same images are given as a synthetic set and found as the held-out part.
    assert_eq!(record.held_out.as_ref().unwrap().split, "test");
    for result in record.results.iter().filter(|result| result.held_out.is_some() && result.metric != "kid") {
        assert_eq!(result.value, result.held_out, "{} {}", result.metric, result.channel);
    }
    let blurred = measured(folder, "ph.store:train", "blurred.store", DRAWS).unwrap();
    let joint = |record: &RealismRecord| {
        record
            .results
            .iter()
            .find(|r| (r.metric.as_str(), r.channel.as_str()) == ("frechet", "joint"))
            .cloned()
            .unwrap()
    };
    let (same, blurred) = (joint(&record), joint(&blurred));
    assert!(same.matched.unwrap() < 2.0 * same.floor.unwrap(), "{same:?}");
    assert!(blurred.matched.unwrap() > blurred.floor_high.unwrap(), "{blurred:?}");
    assert!(same.low.unwrap() <= same.value.unwrap() && same.value.unwrap() <= same.high.unwrap());
    // Features come from the cache, and a record is a function of its inputs.
    assert_eq!(measured(folder, "ph.store:train", "same.store", DRAWS).unwrap(), record);
}

#[test]
fn features_by_another_protocol_are_not_taken_from_the_cache() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = phantom_store(folder, 4, 32).unwrap();
    write_degraded(&store, &store.indices(Split::Test), Degradation::Blur, 0, &folder.join("same.store"))
        .unwrap();
    measured(folder, "ph.store", "same.store", 2).unwrap();
    let files = || std::fs::read_dir(folder.join("features")).unwrap().count();
    let first = files();
    measured_by(folder, "ph.store", "same.store", 2, "in another way").unwrap();
    assert_eq!(files(), 2 * first);
}

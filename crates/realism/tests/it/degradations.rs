use synthmr_core::Split;
use synthmr_core::records::RealismRecord;

use crate::common::{ALL, Degradation, phantom_store, value, write_degraded};
use crate::{measured, measured_by};

/// Draws where intervals are looked at.
const DRAWS: usize = 10;

/// Numbers of a set of other subjects, as they are and degraded by level 2 and 3.
struct Curve {
    kind: Degradation,
    records: [RealismRecord; 3],
}

impl Curve {
    fn values(&self, metric: &str, channel: &str) -> [f64; 3] {
        self.records.each_ref().map(|record| value(record, metric, channel))
    }

    /// From the undegraded set on, every number is larger than the one before, by at least `by` in all.
    fn rises(&self, metric: &str, channel: &str, by: f64) {
        let [a, b, c] = self.values(metric, channel);
        assert!(a < b && b < c && c - a >= by, "{:?}: {metric} {channel} {a} {b} {c}", self.kind);
    }

    fn falls(&self, metric: &str, channel: &str, by: f64) {
        let [a, b, c] = self.values(metric, channel);
        assert!(a > b && b >= c && a - c >= by, "{:?}: {metric} {channel} {a} {b} {c}", self.kind);
    }

    /// All three are within `by`.
    fn stays(&self, metric: &str, channel: &str, by: f64) {
        let values = self.values(metric, channel);
        let spread =
            values.iter().fold(f64::MIN, |a, b| a.max(*b)) - values.iter().fold(f64::MAX, |a, b| a.min(*b));
        assert!(spread <= by, "{:?}: {metric} {channel} {values:?}", self.kind);
    }
}

#[test]
fn every_metric_moves_as_its_definition_says() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = phantom_store(folder, 6, 32).unwrap();
    let test = store.indices(Split::Test);
    write_degraded(&store, &test, Degradation::Blur, 0, &folder.join("same.store")).unwrap();
    let same = measured(folder, "ph.store:train", "same.store", 2).unwrap();
    for kind in ALL {
        let record = |level: usize| {
            let name = format!("{kind:?}-{level}.store");
            write_degraded(&store, &test, kind, level, &folder.join(&name)).unwrap();
            measured(folder, "ph.store:train", &name, 2).unwrap()
        };
        let curve = Curve { kind, records: [same.clone(), record(2), record(3)] };
        match kind {
            Degradation::Blur => {
                curve.rises("frechet", "joint", 0.1);
                curve.rises("kid", "joint", 1e-4);
                curve.rises("power_spectrum", "mean", 3.0);
                curve.rises("ms_ssim", "mean", 0.05);
                curve.stays("annotation_area", "ED", 0.0);
            }
            Degradation::Noise => {
                curve.rises("frechet", "joint", 0.1);
                curve.rises("power_spectrum", "mean", 0.5);
                curve.falls("ms_ssim", "mean", 0.02);
                curve.falls("precision", "joint", 0.05);
            }
            Degradation::Shift => {
                // The shift is 16 and then 32, and the sets differed a little before.
                let [before, half, whole] = curve.values("intensity_histogram", "T2");
                assert!(
                    (half - 16.0).abs() < before + 1.0 && (whole - 32.0).abs() < before + 2.0,
                    "{half} {whole}"
                );
                curve.rises("frechet", "joint", 0.1);
                curve.rises("annotation_intensity", "ED/T2", 15.0);
            }
            Degradation::ForeignLabels => {
                // Each annotation is a real one, and each image: only both together are wrong.
                for metric in ["frechet", "kid", "precision", "recall"] {
                    curve.stays(metric, "joint", 1e-12);
                }
                curve.stays("annotation_area", "ED", 1e-9);
                curve.stays("annotation_borders", "all", 1e-9);
                curve.rises("annotation_intensity", "ED/T2", 5.0);
            }
            Degradation::ForeignContrast => {
                curve.stays("frechet", "T1", 1e-3);
                curve.stays("intensity_histogram", "T1", 1e-6);
                curve.rises("cross_contrast", "T1+T1ce", 0.1);
                curve.rises("frechet", "joint", 0.01);
                curve.stays("cross_contrast", "T2+FLAIR", 1e-9);
            }
            Degradation::FewSubjects => {
                curve.falls("recall", "joint", 0.1);
                curve.falls("coverage", "joint", 0.01);
            }
            Degradation::Duplicates => {
                // Balls around repeated images have no size.
                curve.falls("recall", "joint", 0.3);
                curve.falls("coverage", "joint", 0.1);
                curve.rises("frechet", "joint", 0.01);
            }
        }
    }
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

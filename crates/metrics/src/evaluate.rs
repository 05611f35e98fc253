//! All metrics of one subject.

use std::collections::BTreeMap;

use rayon::prelude::*;
use synthmr_core::LabelScheme;
use synthmr_core::records::MetricValues;

use crate::lesions::Lesions;
use crate::nearest::RowOffsets;
use crate::overlap::JointHistogram;
use crate::pair::{ClassSet, LabelPair, MetricsError};
use crate::surface::{Hd95Convention, SurfaceDistances};

/// The rule for empty masks, in a sentence, for `eval.json`. The study's: absent in truth and prediction is
/// skipped, absent in truth only is 0.
pub const EMPTY_RULE: &str = "absent in truth and prediction: no value (skipped); absent in truth only: Dice and \
    lesion-wise Dice 0, precision 0, no recall, no distances; absent in prediction only: Dice and lesion-wise Dice 0, \
    recall 0, no precision, no distances; every case is counted";

/// Values by name: of the foreground classes, and of the regions.
pub type NamedValues = BTreeMap<String, MetricValues>;

/// Scores one subject: for each foreground class and each region of the scheme Dice, precision, recall, lesion-wise Dice, and
/// the surface distances in mm with HD95 by MedPy's convention. Values are `None` by [`EMPTY_RULE`].
///
/// `truth` and `prediction` are class indices in `[depth, height, width]` order (`shape`), width fastest;
/// `spacing_mm` follows the same order. Returns the classes and the regions. The work is shared among rayon's
/// threads; the values do not depend on their number.
///
/// # Errors
/// [`MetricsError`] when a label map does not fit the shape, the shape or spacing is not usable, the scheme
/// contradicts itself, or a label is not a class.
pub fn evaluate_subject(
    truth: &[u8],
    prediction: &[u8],
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    scheme: &LabelScheme,
) -> Result<(NamedValues, NamedValues), MetricsError> {
    evaluate_subject_with(truth, prediction, shape, spacing_mm, scheme, Hd95Convention::Medpy)
}

/// [`evaluate_subject`] with the convention of HD95 chosen.
///
/// # Errors
/// As [`evaluate_subject`].
pub fn evaluate_subject_with(
    truth: &[u8],
    prediction: &[u8],
    shape: [usize; 3],
    spacing_mm: [f64; 3],
    scheme: &LabelScheme,
    hd95: Hd95Convention,
) -> Result<(NamedValues, NamedValues), MetricsError> {
    let pair = LabelPair::new(truth, prediction, shape, spacing_mm, scheme)?;
    let histogram = JointHistogram::count(&pair)?;
    let classes: Vec<(&str, ClassSet)> =
        scheme.foreground().map(|(index, class)| (class.name.as_str(), ClassSet::new(&[index]))).collect();
    let regions: Vec<(&str, ClassSet)> =
        scheme.regions.iter().map(|region| (region.name.as_str(), ClassSet::new(&region.classes))).collect();

    // A region of one class, such as BraTS's ET, is scored once.
    let mut sets: Vec<ClassSet> = classes.iter().chain(&regions).map(|&(_, set)| set).collect();
    sets.sort_unstable();
    sets.dedup();
    let rows = RowOffsets::new(pair.shape, pair.spacing_mm);
    let scored: BTreeMap<ClassSet, MetricValues> =
        sets.into_par_iter().map(|set| (set, score(&pair, &histogram, set, &rows, hd95))).collect();
    let by_name = |named: &[(&str, ClassSet)]| -> NamedValues {
        named.iter().map(|&(name, set)| (name.to_owned(), scored[&set])).collect()
    };
    Ok((by_name(&classes), by_name(&regions)))
}

fn score(
    pair: &LabelPair<'_>,
    histogram: &JointHistogram,
    set: ClassSet,
    rows: &RowOffsets,
    hd95: Hd95Convention,
) -> MetricValues {
    let overlap = histogram.overlap(set);
    let mut values = MetricValues {
        dice: overlap.dice(),
        precision: overlap.precision(),
        recall: overlap.recall(),
        truth_voxels: overlap.truth,
        prediction_voxels: overlap.prediction,
        ..MetricValues::default()
    };
    if overlap.truth + overlap.prediction > 0 {
        let lesions = Lesions::between(pair, &histogram.bounds(set), set);
        values.lesion_dice = lesions.dice();
        values.truth_lesions = lesions.truth;
        values.prediction_lesions = lesions.prediction;
        values.matched_lesions = lesions.matched;
    }
    if overlap.truth > 0 && overlap.prediction > 0 {
        let distances = SurfaceDistances::between(pair, &histogram.bounds(set), set, rows);
        values.hd = Some(distances.hd());
        values.hd95 = Some(distances.hd95(hd95));
        values.assd = Some(distances.assd());
    }
    values
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: [usize; 3] = [1, 1, 8];

    fn evaluate(truth: [u8; 8], prediction: [u8; 8]) -> (NamedValues, NamedValues) {
        evaluate_subject(&truth, &prediction, SHAPE, [1.0, 1.0, 2.0], &LabelScheme::brats()).unwrap()
    }

    #[test]
    fn the_empty_rule_holds_in_each_of_its_cases() {
        let (classes, regions) = evaluate([1, 1, 0, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 2, 2, 0]);
        let ncr = classes["NCR"];
        assert_eq!((ncr.dice, ncr.precision, ncr.recall), (Some(0.0), None, Some(0.0)));
        let ed = classes["ED"];
        assert_eq!((ed.dice, ed.precision, ed.recall), (Some(0.0), Some(0.0), None));
        assert_eq!(classes["ET"], MetricValues::default());
        assert_eq!(regions["ET"], MetricValues::default());
        for values in [ncr, ed] {
            assert_eq!((values.hd, values.hd95, values.assd), (None, None, None));
        }
        assert_eq!((ncr.truth_voxels, ncr.prediction_voxels, ed.prediction_voxels), (2, 0, 2));
        // The whole tumour is present in both: 5 and 4 steps of 2 mm apart, in both directions.
        let wt = regions["WT"];
        assert_eq!((wt.dice, wt.precision, wt.recall), (Some(0.0), Some(0.0), Some(0.0)));
        assert_eq!((wt.hd, wt.assd), (Some(10.0), Some(9.0)));
    }

    #[test]
    fn a_perfect_prediction_scores_one_and_zero() {
        let labels = [0, 1, 2, 3, 3, 2, 0, 0];
        let (classes, regions) = evaluate(labels, labels);
        for values in classes.values().chain(regions.values()) {
            assert_eq!((values.dice, values.precision, values.recall), (Some(1.0), Some(1.0), Some(1.0)));
            assert_eq!((values.hd, values.hd95, values.assd), (Some(0.0), Some(0.0), Some(0.0)));
        }
    }

    #[test]
    fn labels_out_of_range_are_refused() {
        let result =
            evaluate_subject(&[0; 8], &[0, 0, 0, 0, 4, 0, 0, 0], SHAPE, [1.0; 3], &LabelScheme::brats());
        assert!(matches!(result, Err(MetricsError::Label { which: "prediction", found: 4, .. })));
    }
}

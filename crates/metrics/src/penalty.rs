//! Values for empty masks, as the BraTS challenges give them.

use synthmr_core::records::{MetricValues, SubjectResult};

/// The rule, in a sentence, for `eval.json`.
pub const PENALTY_RULE: &str = "as in the BraTS challenges: absent in truth and prediction: Dice, lesion-wise Dice, precision \
    and recall 1, distances 0; absent in one of them: Dice, lesion-wise Dice, precision and recall 0, distances the diagonal \
    of the evaluated volume";

/// The subjects with a value in every place: no subject is left out of a mean because a mask of it is empty.
///
/// The challenges' distance for a mask that is absent in truth or prediction is 373.13 mm, the diagonal of their volume of
/// 240 x 240 x 155 mm (Bakas et al. 2018, arXiv 1811.02629); here it is the subject's own
/// [`diagonal_mm`](SubjectResult::diagonal_mm).
pub fn penalised(subjects: &[SubjectResult]) -> Vec<SubjectResult> {
    let mut subjects = subjects.to_vec();
    for subject in &mut subjects {
        for values in subject.classes.values_mut().chain(subject.regions.values_mut()) {
            *values = filled(*values, subject.diagonal_mm);
        }
    }
    subjects
}

fn filled(values: MetricValues, diagonal_mm: f64) -> MetricValues {
    let (overlap, distance) = match (values.truth_voxels, values.prediction_voxels) {
        (0, 0) => (Some(1.0), Some(0.0)),
        (0, _) | (_, 0) => (Some(0.0), Some(diagonal_mm)),
        _ => return values,
    };
    MetricValues {
        dice: overlap,
        precision: overlap,
        recall: overlap,
        lesion_dice: overlap,
        hd: distance,
        hd95: distance,
        assd: distance,
        ..values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn empty_masks_get_the_values_of_the_challenges() {
        let values = |truth_voxels, prediction_voxels| MetricValues {
            dice: Some(0.5),
            hd: None,
            truth_voxels,
            prediction_voxels,
            ..MetricValues::default()
        };
        let of = |v: MetricValues| (v.dice, v.precision, v.recall, v.lesion_dice, v.hd, v.hd95, v.assd);
        let [one, nothing, far] = [Some(1.0), Some(0.0), Some(373.0)];
        assert_eq!(of(filled(values(0, 0), 373.0)), (one, one, one, one, nothing, nothing, nothing));
        for empty in [values(0, 4), values(4, 0)] {
            assert_eq!(of(filled(empty, 373.0)), (nothing, nothing, nothing, nothing, far, far, far));
        }
        assert_eq!(filled(values(3, 4), 373.0), values(3, 4));
    }
}

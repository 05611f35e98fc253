//! Distances between the surfaces of two masks: the maximum Hausdorff distance, its 95th percentile, and the
//! average symmetric surface distance.
//!
//! A mask's surface is its set voxels with an unset face neighbour (6-neighbourhood), set voxels at the edge of
//! the image included: the surface of MedPy and MONAI. For each surface voxel of one mask the distance to the
//! nearest surface voxel of the other is taken between voxel centres, in millimetres.
//!
//! Sources: Huttenlocher, Klanderman and Rucklidge, IEEE TPAMI 15(9), 1993 (Hausdorff distance); Heimann et
//! al., IEEE TMI 28(8), 2009, section III-C (average symmetric surface distance).

use crate::bits::BitMask;
use crate::nearest::{RowOffsets, squared_distances};
use crate::overlap::Bounds;
use crate::pair::{ClassSet, LabelPair};

/// Which "95 % Hausdorff distance" is meant; the usual programs differ.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hd95Convention {
    /// The 95th percentile of the distances of both directions together, as MedPy's `hd95` (the default).
    #[default]
    Medpy,
    /// The larger of the two directions' own 95th percentiles, as MONAI's `compute_hausdorff_distance`.
    Monai,
}

impl Hd95Convention {
    /// The convention in a sentence, for `eval.json`.
    pub fn rule(self) -> &'static str {
        match self {
            Self::Medpy => {
                "medpy: 95th percentile (linear interpolation) of the surface distances of both directions pooled"
            }
            Self::Monai => {
                "monai: larger of the two directions' 95th percentiles (linear interpolation) of surface distances"
            }
        }
    }
}

/// Surface distances of one mask in both directions, mm, each in raster order of the surface it starts from.
#[derive(Clone, Debug, PartialEq)]
pub struct SurfaceDistances {
    /// From each surface voxel of the truth to the prediction's surface.
    pub truth_to_prediction: Vec<f64>,
    /// From each surface voxel of the prediction to the truth's surface.
    pub prediction_to_truth: Vec<f64>,
}

impl SurfaceDistances {
    /// Distances for the mask that `set` forms, inside `bounds`, which must hold it in truth and prediction.
    /// The restriction changes nothing: no surface lies outside. Neither mask may be empty.
    pub(crate) fn between(pair: &LabelPair<'_>, bounds: &Bounds, set: ClassSet, rows: &RowOffsets) -> Self {
        let surface = |labels| BitMask::from_labels(labels, pair.shape, bounds, set).surface();
        let (truth, prediction) = rayon::join(|| surface(pair.truth), || surface(pair.prediction));
        let distances = |from, to| -> Vec<f64> {
            let mut distances = squared_distances(from, to, rows);
            distances.iter_mut().for_each(|d| *d = d.sqrt());
            distances
        };
        let (truth_to_prediction, prediction_to_truth) =
            rayon::join(|| distances(&truth, &prediction), || distances(&prediction, &truth));
        Self { truth_to_prediction, prediction_to_truth }
    }

    /// Maximum symmetric Hausdorff distance, mm: the largest distance of either direction.
    pub fn hd(&self) -> f64 {
        self.pooled().fold(0.0, f64::max)
    }

    /// 95 % Hausdorff distance, mm, by the given convention.
    pub fn hd95(&self, convention: Hd95Convention) -> f64 {
        match convention {
            Hd95Convention::Medpy => percentile(&mut self.pooled().collect::<Vec<_>>(), 0.95),
            Hd95Convention::Monai => {
                let directed = |distances: &[f64]| percentile(&mut distances.to_vec(), 0.95);
                directed(&self.truth_to_prediction).max(directed(&self.prediction_to_truth))
            }
        }
    }

    /// Average symmetric surface distance, mm: the mean of all distances of both directions together, so that
    /// the larger surface weighs more. (MedPy before 0.5 averaged the two directions' means instead.)
    pub fn assd(&self) -> f64 {
        let count = self.truth_to_prediction.len() + self.prediction_to_truth.len();
        self.pooled().sum::<f64>() / count as f64
    }

    fn pooled(&self) -> impl Iterator<Item = f64> {
        self.truth_to_prediction.iter().chain(&self.prediction_to_truth).copied()
    }
}

/// The `share` quantile (0 to 1) with linear interpolation between order statistics, rounding as
/// `numpy.percentile` does. Reorders `values`, which must not be empty.
pub(crate) fn percentile(values: &mut [f64], share: f64) -> f64 {
    let place = share * (values.len() - 1) as f64;
    let below = place.floor() as usize;
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let high = above.iter().copied().fold(f64::INFINITY, f64::min);
    if high == f64::INFINITY {
        return low;
    }
    let (fraction, gap) = (place - below as f64, high - low);
    // numpy interpolates from the nearer end.
    if fraction < 0.5 { low + gap * fraction } else { high - gap * (1.0 - fraction) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_follow_numpy() {
        // numpy.percentile([3, 1, 4, 1, 5, 9, 2, 6], q) for q = 0, 25, 50, 95, 100.
        for (share, expected) in [(0.0, 1.0), (0.25, 1.75), (0.5, 3.5), (0.95, 7.95), (1.0, 9.0)] {
            let found = percentile(&mut [3.0, 1.0, 4.0, 1.0, 5.0, 9.0, 2.0, 6.0], share);
            assert!((found - expected).abs() < 1e-14, "{share}: {found}");
        }
        assert_eq!(percentile(&mut [2.5], 0.95), 2.5);
    }

    #[test]
    fn the_conventions_differ_as_they_should() {
        let distances = SurfaceDistances {
            truth_to_prediction: (0..100).map(f64::from).collect(),
            prediction_to_truth: vec![0.0; 300],
        };
        assert_eq!(distances.hd(), 99.0);
        assert!((distances.hd95(Hd95Convention::Monai) - 94.05).abs() < 1e-12);
        assert!((distances.hd95(Hd95Convention::Medpy) - 79.05).abs() < 1e-12);
        assert_eq!(distances.assd(), 4950.0 / 400.0);
    }
}

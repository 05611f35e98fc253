//! The input of every metric: two label maps on one grid, checked once.

use synthmr_core::labels::{LabelScheme, LabelSchemeError};
use synthmr_core::limits;

/// Why label maps or results cannot be evaluated.
#[derive(Debug, thiserror::Error, PartialEq)]
pub enum MetricsError {
    /// A label map does not hold one value for each voxel of the shape.
    #[error("the {which} has {found} voxels, expected {expected} for shape {shape:?}")]
    VoxelCount {
        /// `truth` or `prediction`.
        which: &'static str,
        /// Voxels of the shape.
        expected: usize,
        /// Values in the label map.
        found: usize,
        /// The shape, `[depth, height, width]`.
        shape: [usize; 3],
    },
    /// An axis is empty, or longer than [`limits::VOLUME_EXTENT`].
    #[error("shape {shape:?} is not usable: every axis must have 1 to {max} voxels", max = limits::VOLUME_EXTENT)]
    Shape {
        /// The shape, `[depth, height, width]`.
        shape: [usize; 3],
    },
    /// A spacing is zero, negative, infinite or not a number.
    #[error("spacing {found:?} mm is not usable: every axis must be positive and finite")]
    Spacing {
        /// The spacing, `[depth, height, width]`.
        found: [f64; 3],
    },
    /// A label is not a class of the scheme.
    #[error(
        "label {found} at voxel {voxel:?} of the {which} is out of range: the scheme has classes 0 to {last}"
    )]
    Label {
        /// `truth` or `prediction`.
        which: &'static str,
        /// The label as found.
        found: u8,
        /// Its place, `[depth, height, width]`.
        voxel: [usize; 3],
        /// The last class of the scheme.
        last: u8,
    },
    /// The scheme itself contradicts itself.
    #[error(transparent)]
    Scheme(#[from] LabelSchemeError),
    /// A subject has no value for a class or region of the scheme.
    #[error("subject {subject} has no entry for {name:?}")]
    MissingEntry {
        /// Pseudonym of the subject.
        subject: String,
        /// The class or region.
        name: String,
    },
    /// Evaluations that are compared are not of the same subjects.
    #[error("{condition}: seed {seed} has other subjects than the reference's first seed")]
    Subjects {
        /// Name of the condition.
        condition: String,
        /// Number of its evaluation, from 1.
        seed: usize,
    },
    /// The interval's level or number of resamples makes no sense.
    #[error(
        "bootstrap of {resamples} resamples at level {level}: expected at least 1 and a level between 0 and 1"
    )]
    Bootstrap {
        /// Resamples asked for.
        resamples: usize,
        /// Level asked for.
        level: f64,
    },
    /// No metric of this name.
    #[error("unknown metric {found:?}, expected one of {}", crate::METRIC_NAMES.join(", "))]
    Metric {
        /// The name.
        found: String,
    },
    /// A value that is infinite or not a number entered a statistic.
    #[error("value {index} of a sample is {found}, expected a finite number")]
    NotFinite {
        /// Its place in the sample.
        index: usize,
        /// The value.
        found: f64,
    },
}

/// Truth and prediction of one subject on the same grid; every value is known to be a class.
#[derive(Clone, Copy, Debug)]
pub struct LabelPair<'a> {
    pub(crate) truth: &'a [u8],
    pub(crate) prediction: &'a [u8],
    pub(crate) shape: [usize; 3],
    pub(crate) spacing_mm: [f64; 3],
    pub(crate) class_count: usize,
}

impl<'a> LabelPair<'a> {
    /// Takes two label maps of `shape` = `[depth, height, width]` (width fastest), with the voxel spacing in
    /// millimetres in the same order. The labels themselves are checked by the counting pass
    /// ([`crate::overlap::JointHistogram::count`]), which reads them anyway.
    ///
    /// # Errors
    /// [`MetricsError::Shape`], [`MetricsError::VoxelCount`], [`MetricsError::Spacing`],
    /// [`MetricsError::Scheme`].
    pub fn new(
        truth: &'a [u8],
        prediction: &'a [u8],
        shape: [usize; 3],
        spacing_mm: [f64; 3],
        scheme: &LabelScheme,
    ) -> Result<Self, MetricsError> {
        scheme.validate()?;
        if shape.iter().any(|&extent| extent == 0 || extent as u64 > limits::VOLUME_EXTENT) {
            return Err(MetricsError::Shape { shape });
        }
        let expected = shape.iter().product();
        for (which, labels) in [("truth", truth), ("prediction", prediction)] {
            if labels.len() != expected {
                return Err(MetricsError::VoxelCount { which, expected, found: labels.len(), shape });
            }
        }
        if spacing_mm.iter().any(|&s| !s.is_finite() || s <= 0.0) {
            return Err(MetricsError::Spacing { found: spacing_mm });
        }
        Ok(Self { truth, prediction, shape, spacing_mm, class_count: scheme.class_count() })
    }

    /// The first label that is not a class, if there is one.
    pub(crate) fn first_invalid_label(&self) -> Option<MetricsError> {
        let last = (self.class_count - 1) as u8;
        let [_, height, width] = self.shape;
        [("truth", self.truth), ("prediction", self.prediction)].into_iter().find_map(|(which, labels)| {
            let at = labels.iter().position(|&label| label > last)?;
            let voxel = [at / (height * width), at / width % height, at % width];
            Some(MetricsError::Label { which, found: labels[at], voxel, last })
        })
    }
}

/// A set of classes that is evaluated as one mask: a class, or the classes of a region. Bit `c` is class `c`;
/// [`limits::LABEL_CLASSES`] is 32, so a word holds any set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ClassSet(u32);

const _: () = assert!(limits::LABEL_CLASSES <= 32);

impl ClassSet {
    /// The set of the given class indices, each below [`limits::LABEL_CLASSES`].
    pub fn new(classes: &[u8]) -> Self {
        Self(classes.iter().fold(0, |set, &class| set | 1 << class))
    }

    /// Whether `class` belongs to the set.
    pub fn contains(self, class: u8) -> bool {
        self.0 >> class & 1 == 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair(truth: &[u8], prediction: &[u8], shape: [usize; 3], spacing: [f64; 3]) -> Option<MetricsError> {
        LabelPair::new(truth, prediction, shape, spacing, &LabelScheme::brats()).err()
    }

    #[test]
    fn shapes_that_do_not_match_are_refused() {
        let labels = [0u8; 24];
        assert_eq!(pair(&labels, &labels, [2, 3, 4], [1.0; 3]), None);
        let error = pair(&labels, &labels[1..], [2, 3, 4], [1.0; 3]).unwrap();
        assert_eq!(error.to_string(), "the prediction has 23 voxels, expected 24 for shape [2, 3, 4]");
        assert!(matches!(pair(&[], &[], [0, 3, 4], [1.0; 3]), Some(MetricsError::Shape { .. })));
    }

    #[test]
    fn rejects_an_axis_beyond_the_volume_extent() {
        let long = [1, 1, limits::VOLUME_EXTENT as usize + 1];
        let labels = vec![0; long[2]];
        assert_eq!(pair(&labels, &labels, long, [1.0; 3]), Some(MetricsError::Shape { shape: long }));
        assert_eq!(pair(&labels[1..], &labels[1..], [1, 1, long[2] - 1], [1.0; 3]), None);
    }

    #[test]
    fn spacings_must_be_positive_and_finite() {
        for bad in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let found = pair(&[0], &[0], [1, 1, 1], [1.0, bad, 1.0]);
            assert!(matches!(found, Some(MetricsError::Spacing { .. })), "{bad}");
        }
    }

    #[test]
    fn a_scheme_that_contradicts_itself_is_refused() {
        let mut scheme = LabelScheme::brats();
        scheme.regions[0].classes.push(9);
        let error = LabelPair::new(&[0], &[0], [1, 1, 1], [1.0; 3], &scheme).unwrap_err();
        assert!(matches!(error, MetricsError::Scheme(_)));
    }
}

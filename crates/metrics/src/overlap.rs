//! Overlap of truth and prediction: Dice, precision and recall of every class and region from one pass.
//!
//! The pass counts how often each pair (true class, predicted class) occurs. Any set of classes is then
//! scored from sums over that table, so regions cost nothing beyond the classes.
//!
//! Source: Dice (Ecology 1945); the study names the same three (reference: Akbar et al., Scientific Data 2024).

use rayon::prelude::*;
use synthmr_core::limits::LABEL_CLASSES;

use crate::pair::{ClassSet, LabelPair, MetricsError};

/// Voxel counts of one class or region.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Voxels in the truth.
    pub truth: u64,
    /// Voxels in the prediction.
    pub prediction: u64,
    /// Voxels in both.
    pub both: u64,
}

impl Overlap {
    /// `2 |T and P| / (|T| + |P|)`, 0 to 1; `None` when both are empty.
    pub fn dice(self) -> Option<f64> {
        ratio(2 * self.both, self.truth + self.prediction)
    }

    /// `|T and P| / |P|`, 0 to 1; `None` when the prediction is empty.
    pub fn precision(self) -> Option<f64> {
        ratio(self.both, self.prediction)
    }

    /// `|T and P| / |T|`, 0 to 1; `None` when the truth is empty.
    pub fn recall(self) -> Option<f64> {
        ratio(self.both, self.truth)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

/// A box of voxels, `[depth, height, width]`, the upper end exclusive. Empty when an upper end is not above
/// its lower end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bounds {
    pub(crate) low: [usize; 3],
    pub(crate) high: [usize; 3],
}

impl Bounds {
    const EMPTY: Self = Self { low: [usize::MAX; 3], high: [0; 3] };

    fn include(&mut self, axis: usize, at: usize) {
        self.low[axis] = self.low[axis].min(at);
        self.high[axis] = self.high[axis].max(at + 1);
    }

    fn union(mut self, other: Self) -> Self {
        for axis in 0..3 {
            self.low[axis] = self.low[axis].min(other.low[axis]);
            self.high[axis] = self.high[axis].max(other.high[axis]);
        }
        self
    }
}

/// How often each pair (true class, predicted class) occurs, and where each class lies.
#[derive(Clone, Debug)]
pub struct JointHistogram {
    /// `[class_count, class_count]`, true class first.
    counts: Vec<u64>,
    /// For each class the box that holds it in truth and prediction; the background's is not kept.
    bounds: Vec<Bounds>,
    class_count: usize,
}

impl JointHistogram {
    /// Counts all voxels of the pair, in parallel over planes.
    ///
    /// # Errors
    /// [`MetricsError::Label`] when a label is not a class of the scheme.
    pub fn count(pair: &LabelPair<'_>) -> Result<Self, MetricsError> {
        let [depth, height, width] = pair.shape;
        let part = (0..depth)
            .into_par_iter()
            .fold(
                || Part::new(width),
                |mut part, z| {
                    let plane = z * height * width..(z + 1) * height * width;
                    part.add_plane(z, &pair.truth[plane.clone()], &pair.prediction[plane], pair.class_count);
                    part
                },
            )
            .reduce(|| Part::new(width), Part::merge);
        if part.invalid
            && let Some(error) = pair.first_invalid_label()
        {
            return Err(error);
        }
        Ok(part.finish(pair))
    }

    /// Voxel counts of the mask that a set of classes forms.
    pub fn overlap(&self, set: ClassSet) -> Overlap {
        let mut overlap = Overlap::default();
        for (index, &count) in self.counts.iter().enumerate() {
            let truth = set.contains((index / self.class_count) as u8);
            let prediction = set.contains((index % self.class_count) as u8);
            overlap.truth += if truth { count } else { 0 };
            overlap.prediction += if prediction { count } else { 0 };
            overlap.both += if truth && prediction { count } else { 0 };
        }
        overlap
    }

    /// The smallest box that holds the mask of a set of foreground classes, in truth and prediction.
    pub(crate) fn bounds(&self, set: ClassSet) -> Bounds {
        let members = (1..self.class_count).filter(|&class| set.contains(class as u8));
        members.fold(Bounds::EMPTY, |bounds, class| bounds.union(self.bounds[class]))
    }
}

/// What some of the planes add up to.
struct Part {
    counts: [u64; LABEL_CLASSES * LABEL_CLASSES],
    bounds: [Bounds; LABEL_CLASSES],
    /// For each column along width, the classes seen in it.
    columns: Vec<u32>,
    invalid: bool,
}

impl Part {
    fn new(width: usize) -> Self {
        Self {
            counts: [0; LABEL_CLASSES * LABEL_CLASSES],
            bounds: [Bounds::EMPTY; LABEL_CLASSES],
            columns: vec![0; width],
            invalid: false,
        }
    }

    fn add_plane(&mut self, z: usize, truth: &[u8], prediction: &[u8], class_count: usize) {
        let width = self.columns.len();
        for (y, (truth, prediction)) in truth.chunks(width).zip(prediction.chunks(width)).enumerate() {
            let mut seen = 0;
            let ((truth8, truth_rest), (prediction8, prediction_rest)) =
                (truth.as_chunks::<8>(), prediction.as_chunks::<8>());
            for (word, (t, p)) in truth8.iter().zip(prediction8).enumerate() {
                // Most of a head is background in both maps: eight voxels at a time are passed over here and
                // counted in `finish`.
                if u64::from_ne_bytes(*t) | u64::from_ne_bytes(*p) != 0 {
                    seen |= self.add_voxels(8 * word, t, p, class_count);
                }
            }
            seen |= self.add_voxels(8 * truth8.len(), truth_rest, prediction_rest, class_count);
            let mut foreground = seen & !1;
            while foreground != 0 {
                let bounds = &mut self.bounds[foreground.trailing_zeros() as usize];
                bounds.include(0, z);
                bounds.include(1, y);
                foreground &= foreground - 1;
            }
        }
    }

    /// Adds a few neighbouring voxels that begin at column `x`; returns the classes among them.
    fn add_voxels(&mut self, x: usize, truth: &[u8], prediction: &[u8], class_count: usize) -> u32 {
        let mut seen = 0;
        for ((&t, &p), column) in truth.iter().zip(prediction).zip(&mut self.columns[x..]) {
            if usize::from(t.max(p)) >= class_count {
                self.invalid = true;
                continue;
            }
            self.counts[usize::from(t) * LABEL_CLASSES + usize::from(p)] += 1;
            let classes = 1u32 << t | 1 << p;
            *column |= classes;
            seen |= classes;
        }
        seen
    }

    fn merge(mut self, other: Self) -> Self {
        for (mine, theirs) in self.counts.iter_mut().zip(other.counts) {
            *mine += theirs;
        }
        for (mine, theirs) in self.bounds.iter_mut().zip(other.bounds) {
            *mine = mine.union(theirs);
        }
        for (mine, theirs) in self.columns.iter_mut().zip(other.columns) {
            *mine |= theirs;
        }
        self.invalid |= other.invalid;
        self
    }

    fn finish(mut self, pair: &LabelPair<'_>) -> JointHistogram {
        for (x, &classes) in self.columns.iter().enumerate() {
            for (class, bounds) in self.bounds.iter_mut().enumerate().skip(1) {
                if classes >> class & 1 == 1 {
                    bounds.include(2, x);
                }
            }
        }
        let n = pair.class_count;
        let mut counts: Vec<u64> = (0..n * n).map(|i| self.counts[i / n * LABEL_CLASSES + i % n]).collect();
        counts[0] = pair.truth.len() as u64 - counts[1..].iter().sum::<u64>();
        JointHistogram { counts, bounds: self.bounds[..n].to_vec(), class_count: n }
    }
}

#[cfg(test)]
mod tests {
    use synthmr_core::LabelScheme;
    use synthmr_core::random::{Draw, Stream, rng};

    use super::*;

    #[test]
    fn counts_and_boxes_equal_a_plain_loop() {
        let mut random = rng(1, Stream::Test, 0);
        for shape in [[1, 1, 1], [3, 4, 5], [2, 7, 16], [4, 3, 19], [5, 5, 64]] {
            let n: usize = shape.iter().product();
            let mut draw =
                || (0..n).map(|_| if random.chance(0.1) { random.below(4) as u8 } else { 0 }).collect();
            let (truth, prediction): (Vec<u8>, Vec<u8>) = (draw(), draw());
            let pair = LabelPair::new(&truth, &prediction, shape, [1.0; 3], &LabelScheme::brats()).unwrap();
            let histogram = JointHistogram::count(&pair).unwrap();
            for classes in [&[1u8][..], &[2], &[3], &[1, 3], &[1, 2, 3], &[0]] {
                let set = ClassSet::new(classes);
                let count = |test: &dyn Fn(u8, u8) -> bool| {
                    truth.iter().zip(&prediction).filter(|&(&t, &p)| test(t, p)).count() as u64
                };
                let expected = Overlap {
                    truth: count(&|t, _| set.contains(t)),
                    prediction: count(&|_, p| set.contains(p)),
                    both: count(&|t, p| set.contains(t) && set.contains(p)),
                };
                assert_eq!(histogram.overlap(set), expected, "{shape:?} {classes:?}");
                if classes == [0] {
                    continue;
                }
                let mut bounds = Bounds::EMPTY;
                for i in (0..n).filter(|&i| set.contains(truth[i]) || set.contains(prediction[i])) {
                    bounds.include(0, i / (shape[1] * shape[2]));
                    bounds.include(1, i / shape[2] % shape[1]);
                    bounds.include(2, i % shape[2]);
                }
                assert_eq!(histogram.bounds(set), bounds, "{shape:?} {classes:?}");
            }
        }
    }

    #[test]
    fn a_label_out_of_range_is_named_with_its_place() {
        let mut prediction = vec![0u8; 2 * 3 * 10];
        prediction[30 + 20 + 7] = 4;
        let truth = vec![0; 60];
        let pair = LabelPair::new(&truth, &prediction, [2, 3, 10], [1.0; 3], &LabelScheme::brats()).unwrap();
        let error = JointHistogram::count(&pair).unwrap_err();
        assert_eq!(error, MetricsError::Label { which: "prediction", found: 4, voxel: [1, 2, 7], last: 3 });
    }

    #[test]
    fn ratios_are_undefined_only_where_their_denominator_is_empty() {
        let overlap = |truth, prediction, both| Overlap { truth, prediction, both };
        let values = |o: Overlap| (o.dice(), o.precision(), o.recall());
        assert_eq!(values(overlap(0, 0, 0)), (None, None, None));
        assert_eq!(values(overlap(0, 5, 0)), (Some(0.0), Some(0.0), None));
        assert_eq!(values(overlap(5, 0, 0)), (Some(0.0), None, Some(0.0)));
        assert_eq!(values(overlap(4, 8, 3)), (Some(0.5), Some(0.375), Some(0.75)));
    }
}

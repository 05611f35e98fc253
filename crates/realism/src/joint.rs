//! One feature for all contrasts of an image: those of each, one after the other. A synthetic T1 with another head than its
//! T2 has good features in each contrast, and none that real images have together.

use synthmr_core::random::{self, Draw, Stream};
use synthmr_metrics::realism::{FeatureError, FeatureMatrix};
use synthmr_nets::tch::{Kind, Tensor};

use crate::extract::append;

/// Most joint features: covariances of 8,192 would take hours. Longer ones are projected to so many at random (Johnson and
/// Lindenstrauss 1984), which keeps distances between images to about 1 / 2048^(1/2), 2 %.
pub(crate) const MOST_DIMS: usize = 2048;

/// Joint features while contrast after contrast comes in.
pub(crate) struct Joint {
    sum: Vec<f32>,
    dims: usize,
}

impl Joint {
    /// For images of `contrasts` with `dims` features each.
    pub(crate) fn new(images: usize, contrasts: usize, dims: usize) -> Self {
        let dims = (contrasts * dims).min(MOST_DIMS);
        Self { sum: vec![0.0; images * dims], dims }
    }

    /// Adds the features of one contrast, by its place; `projection` is [`projection`]'s.
    pub(crate) fn add(&mut self, contrast: usize, features: &FeatureMatrix, projection: Option<&Tensor>) {
        let view = features.view();
        let Some(projection) = projection else {
            let start = contrast * view.dims();
            for (row, joint) in self.sum.chunks_exact_mut(self.dims).enumerate() {
                joint[start..start + view.dims()].copy_from_slice(view.row(row));
            }
            return;
        };
        // Some rows at a time: their features are copied once more.
        let blocks = view.values().chunks(view.dims() * 4096);
        for (values, joint) in blocks.zip(self.sum.chunks_mut(self.dims * 4096)) {
            let values = Tensor::from_slice(values).view([-1, view.dims() as i64]).matmul(projection);
            let mut projected = Vec::with_capacity(joint.len());
            append(&values, &mut projected);
            joint.iter_mut().zip(projected).for_each(|(sum, value)| *sum += value);
        }
    }

    /// The features.
    pub(crate) fn finish(self) -> Result<FeatureMatrix, FeatureError> {
        FeatureMatrix::new(self.sum, self.dims)
    }
}

/// What projects the features of one of `contrasts`: normal numbers with variance 1 / [`MOST_DIMS`], `[dims, MOST_DIMS]`, the
/// same in every measurement. None where all features fit.
pub(crate) fn projection(contrast: usize, contrasts: usize, dims: usize) -> Option<Tensor> {
    if contrasts * dims <= MOST_DIMS {
        return None;
    }
    let mut values = vec![0f32; dims * MOST_DIMS];
    random::rng(0, Stream::Realism, (1 << 32) | contrast as u64).fill_normal(&mut values);
    let values = Tensor::from_slice(&values).view([dims as i64, MOST_DIMS as i64]);
    Some(values.to_kind(Kind::Float) / (MOST_DIMS as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn features(rows: usize, dims: usize, contrast: u64) -> FeatureMatrix {
        let mut values = vec![0f32; rows * dims];
        random::rng(contrast, Stream::Test, 0).fill_normal(&mut values);
        FeatureMatrix::new(values, dims).unwrap()
    }

    fn squared(matrix: &FeatureMatrix, a: usize, b: usize) -> f64 {
        let view = matrix.view();
        view.row(a).iter().zip(view.row(b)).map(|(a, b)| f64::from(a - b).powi(2)).sum()
    }

    #[test]
    fn few_features_are_put_side_by_side_and_many_keep_their_distances() {
        for (dims, tolerance) in [(8, 1e-6), (1280, 0.15)] {
            let parts: Vec<FeatureMatrix> = (0..3).map(|contrast| features(5, dims, contrast)).collect();
            let mut joint = Joint::new(5, 3, dims);
            for (contrast, part) in parts.iter().enumerate() {
                joint.add(contrast, part, projection(contrast, 3, dims).as_ref());
            }
            let joint = joint.finish().unwrap();
            assert_eq!(joint.view().dims(), (3 * dims).min(MOST_DIMS));
            let expected: f64 = parts.iter().map(|part| squared(part, 1, 4)).sum();
            assert!((squared(&joint, 1, 4) / expected - 1.0).abs() < tolerance);
        }
    }
}

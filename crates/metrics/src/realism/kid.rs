//! Kernel distance of two sets of features (Binkowski et al. 2018, with Inception features the "KID"): the squared maximum
//! mean discrepancy for the kernel k(x, y) = (x'y / d + 1)^3, d being the number of features, by the unbiased estimator
//! (Gretton et al. 2012, equation 3), as a mean over subsets.
//!
//! Unbiased: whatever the number of images, its expectation is what it would be with all of them, so it can be compared
//! between sets of different sizes where the Frechet distance cannot; and near zero it may come out negative.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat};
use rayon::prelude::*;

use super::eigen::parallelism;
use super::{FeatureError, Features};

/// Name of the metric in errors.
const NAME: &str = "kernel distance";

/// Images of each set in a subset.
pub struct Subset {
    /// Of the first set.
    pub first: Vec<u32>,
    /// Of the second.
    pub second: Vec<u32>,
}

/// The mean over subsets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kid {
    /// Mean of the subsets' estimates.
    pub mean: f64,
    /// Standard deviation over the subsets (n in the denominator). Subsets share images: divided by the root of their
    /// number it is too small for a standard error of the mean.
    pub deviation: f64,
}

/// The kernel distance over `subsets`, at least one.
///
/// # Errors
/// [`FeatureError::Dims`]; [`FeatureError::TooFew`] without subsets or for one of fewer than two images.
pub fn kid(x: Features<'_>, y: Features<'_>, subsets: &[Subset]) -> Result<Kid, FeatureError> {
    x.check_beside(&y)?;
    if subsets.is_empty() {
        return Err(FeatureError::TooFew { metric: NAME, needed: 2, found: 0 });
    }
    let one = |subset: &Subset| {
        let (first, second) = (x.gathered(&subset.first), y.gathered(&subset.second));
        squared_discrepancy(first.view(), second.view())
    };
    let values: Vec<f64> = subsets.iter().map(one).collect::<Result<_, _>>()?;
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / values.len() as f64;
    Ok(Kid { mean, deviation: variance.sqrt() })
}

/// The unbiased estimate from all images of both sets.
///
/// # Errors
/// [`FeatureError::Dims`], [`FeatureError::TooFew`].
pub fn squared_discrepancy(x: Features<'_>, y: Features<'_>) -> Result<f64, FeatureError> {
    x.check_beside(&y)?;
    for features in [x, y] {
        if features.rows() < 2 {
            return Err(FeatureError::TooFew { metric: NAME, needed: 2, found: features.rows() });
        }
    }
    Ok(mean_within(x) + mean_within(y) - 2.0 * mean_between(x, y))
}

/// Mean of the kernel over pairs of different images.
fn mean_within(x: Features<'_>) -> f64 {
    let n = x.rows();
    let mut products = Mat::<f32>::zeros(n, n);
    triangular::matmul(
        products.as_mut(),
        BlockStructure::StrictTriangularLower,
        Accum::Replace,
        x.matrix(),
        BlockStructure::Rectangular,
        x.matrix().transpose(),
        BlockStructure::Rectangular,
        1.0,
        parallelism(),
    );
    let below = |j: usize| (j + 1..n).map(|i| kernel(products[(i, j)], x.dims())).sum::<f64>();
    // Each pair once.
    2.0 * sum_of_columns(n, below) / (n as f64 * (n as f64 - 1.0))
}

/// Mean of the kernel over pairs of an image of each.
fn mean_between(x: Features<'_>, y: Features<'_>) -> f64 {
    let (n, m) = (x.rows(), y.rows());
    let mut products = Mat::<f32>::zeros(n, m);
    matmul(products.as_mut(), Accum::Replace, x.matrix(), y.matrix().transpose(), 1.0, parallelism());
    let column = |j: usize| (0..n).map(|i| kernel(products[(i, j)], x.dims())).sum::<f64>();
    sum_of_columns(m, column) / (n as f64 * m as f64)
}

/// The same whatever the number of threads: columns are added in their order.
fn sum_of_columns(columns: usize, column: impl Fn(usize) -> f64 + Send + Sync) -> f64 {
    (0..columns).into_par_iter().map(column).collect::<Vec<f64>>().into_iter().sum()
}

fn kernel(product: f32, dims: usize) -> f64 {
    let base = f64::from(product) / dims as f64 + 1.0;
    base * base * base
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_by_hand() {
        // One feature, kernel (xy + 1)^3. Within {0, 1}: 1. Within {1, 2}: 27. Between: 1, 1, 8, 27, mean 37 / 4.
        let (x, y) = (Features::new(&[0.0, 1.0], 1).unwrap(), Features::new(&[1.0, 2.0], 1).unwrap());
        let found = squared_discrepancy(x, y).unwrap();
        assert!((found - (1.0 + 27.0 - 2.0 * 37.0 / 4.0)).abs() < 1e-6, "{found}");
        let subsets = [
            Subset { first: vec![0, 1], second: vec![0, 1] },
            Subset { first: vec![1, 0], second: vec![1, 1] },
        ];
        // The second, of {1, 0} and {2, 2}: 1 + 125 - 2 (27 + 27 + 1 + 1) / 4 = 98.
        let Kid { mean, deviation } = kid(x, y, &subsets).unwrap();
        assert!((mean - 53.75).abs() < 1e-6 && (deviation - 44.25).abs() < 1e-6, "{mean} {deviation}");
    }

    #[test]
    fn one_image_is_refused() {
        let (x, one) = (Features::new(&[0.0, 1.0], 1).unwrap(), Features::new(&[1.0], 1).unwrap());
        assert!(matches!(squared_discrepancy(x, one), Err(FeatureError::TooFew { found: 1, .. })));
        assert!(kid(x, x, &[]).is_err());
    }
}

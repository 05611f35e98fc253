//! Frechet distance of the Gaussians fitted to two sets of features (Dowson and Landau 1982, equation 7; Heusel et al.
//! 2017 with Inception features, the "FID"):
//!
//! d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), covariances with n - 1 in the denominator.
//!
//! The last trace is the sum of the roots of the eigenvalues of S1 S2, which are those of the symmetric A' S2 A for any A
//! with A A' = S1. With S1 = V L V', A is V L^(1/2), and null directions of S1 are left out. No square root of a matrix
//! that is not symmetric is taken: that is where other programs need an offset on the diagonal, and get complex numbers.
//!
//! Where a set has no more images than features, its covariance has no full rank. The distance is still defined (and still
//! biased upwards by the few images), [`Frechet::rank_deficient`] says so, and [`frechet`] then computes the last trace as
//! the sum of the singular values of the cross products of the centred images: a smaller matrix, and no null directions.

use faer::linalg::matmul::matmul;
use faer::linalg::matmul::triangular::{self, BlockStructure};
use faer::{Accum, Mat, MatRef};

use super::eigen::{eigenvalues, eigenvectors, parallelism};
use super::{FeatureError, Features};

/// Name of the metric in errors.
const NAME: &str = "frechet distance";

/// Largest side of the matrix of cross products: beyond it the covariances of 2,048 features are the smaller matrices.
const CROSS_IMAGES: usize = 2048;

/// Images that are centred at once.
const BLOCK: usize = 2048;

/// Mean and covariance of a set.
#[derive(Clone, Debug)]
pub struct Moments {
    count: usize,
    mean: Vec<f64>,
    covariance: Mat<f64>,
}

/// The distance, and whether to trust it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Frechet {
    /// In units of the features, squared.
    pub distance: f64,
    /// A set has no more images than features: the distance says as much about their number as about the images.
    pub rank_deficient: bool,
}

impl Moments {
    /// Of given statistics: `covariance` is `[dims, dims]`, of which the lower half is read.
    ///
    /// # Errors
    /// [`FeatureError::Shape`] when it is not square of the mean's length, [`FeatureError::NotFinite`].
    pub fn new(count: usize, mean: Vec<f64>, covariance: &[f64]) -> Result<Self, FeatureError> {
        let dims = mean.len();
        if dims == 0 || covariance.len() != dims * dims {
            return Err(FeatureError::Shape { dims: dims * dims, values: covariance.len() });
        }
        if let Some(index) = mean.iter().chain(covariance).position(|value| !value.is_finite()) {
            return Err(FeatureError::NotFinite { row: (index / dims).saturating_sub(1) });
        }
        let covariance = MatRef::from_row_major_slice(covariance, dims, dims).to_owned();
        Ok(Self { count, mean, covariance })
    }

    /// Of a set of at least two images.
    ///
    /// # Errors
    /// [`FeatureError::TooFew`].
    pub fn of(features: Features<'_>) -> Result<Self, FeatureError> {
        check_count(features)?;
        let (count, dims) = (features.rows(), features.dims());
        let mean = features.mean();
        let mut covariance = Mat::zeros(dims, dims);
        for start in (0..count).step_by(BLOCK) {
            let block = centred(features, &mean, start, (start + BLOCK).min(count), 1.0);
            let lower = BlockStructure::TriangularLower;
            triangular::matmul(
                covariance.as_mut(),
                lower,
                Accum::Add,
                block.transpose(),
                BlockStructure::Rectangular,
                block.as_ref(),
                BlockStructure::Rectangular,
                1.0 / (count as f64 - 1.0),
                parallelism(),
            );
        }
        Ok(Self { count, mean, covariance })
    }

    fn dims(&self) -> usize {
        self.mean.len()
    }

    fn trace(&self) -> f64 {
        (0..self.dims()).map(|i| self.covariance[(i, i)]).sum()
    }

    /// Both halves, from the lower one.
    fn full_covariance(&self) -> Mat<f64> {
        Mat::from_fn(self.dims(), self.dims(), |i, j| self.covariance[(i.max(j), i.min(j))])
    }
}

/// The distance between two sets of at least two images each.
///
/// # Errors
/// [`FeatureError::Dims`], [`FeatureError::TooFew`], [`FeatureError::NotConverged`].
pub fn frechet(a: Features<'_>, b: Features<'_>) -> Result<Frechet, FeatureError> {
    a.check_beside(&b)?;
    let (fewer, more) = (a.rows().min(b.rows()), a.rows().max(b.rows()));
    if fewer <= a.dims() && more <= CROSS_IMAGES {
        return of_few_images(a, b);
    }
    frechet_of_moments(&Moments::of(a)?, &Moments::of(b)?)
}

/// The distance between two Gaussians.
///
/// # Errors
/// [`FeatureError::Dims`], [`FeatureError::NotConverged`].
pub fn frechet_of_moments(a: &Moments, b: &Moments) -> Result<Frechet, FeatureError> {
    if a.dims() != b.dims() {
        return Err(FeatureError::Dims { expected: a.dims(), found: b.dims() });
    }
    // The one of lower rank is the one that is decomposed: its null directions are left out.
    let (a, b) = if b.count < a.count { (b, a) } else { (a, b) };
    let roots = product_roots(&a.covariance, &b.full_covariance())?;
    let means: f64 = a.mean.iter().zip(&b.mean).map(|(a, b)| (a - b).powi(2)).sum();
    Ok(Frechet {
        distance: (means + a.trace() + b.trace() - 2.0 * roots).max(0.0),
        rank_deficient: a.count <= a.dims(),
    })
}

/// The sum of the roots of the eigenvalues of `a b`, both symmetric and positive semi-definite; of `a` the lower half.
fn product_roots(a: &Mat<f64>, b: &Mat<f64>) -> Result<f64, FeatureError> {
    let dims = a.nrows();
    let (values, vectors) = eigenvectors(a)?;
    let largest = values.iter().copied().fold(0.0, f64::max);
    let null = largest * dims as f64 * f64::EPSILON;
    let kept: Vec<usize> = (0..dims).filter(|&i| values[i] > null).collect();
    if kept.is_empty() {
        return Ok(0.0);
    }
    let root = Mat::from_fn(dims, kept.len(), |i, j| vectors[(i, kept[j])] * values[kept[j]].sqrt());
    let mut right = Mat::zeros(dims, kept.len());
    matmul(right.as_mut(), Accum::Replace, b.as_ref(), root.as_ref(), 1.0, parallelism());
    let mut product = Mat::zeros(kept.len(), kept.len());
    triangular::matmul(
        product.as_mut(),
        BlockStructure::TriangularLower,
        Accum::Replace,
        root.transpose(),
        BlockStructure::Rectangular,
        right.as_ref(),
        BlockStructure::Rectangular,
        1.0,
        parallelism(),
    );
    Ok(eigenvalues(&product)?.into_iter().map(|value| value.max(0.0).sqrt()).sum())
}

/// The same distance without covariances: with X and Y the centred images over the roots of n - 1, S1 = X' X and
/// S2 = Y' Y, and the roots of the eigenvalues of S1 S2 are the singular values of X Y', taken as the roots of the
/// eigenvalues of X Y' Y X'.
fn of_few_images(a: Features<'_>, b: Features<'_>) -> Result<Frechet, FeatureError> {
    check_count(a)?;
    check_count(b)?;
    let (mean_a, mean_b) = (a.mean(), b.mean());
    let scale = |features: Features<'_>| 1.0 / (features.rows() as f64 - 1.0).sqrt();
    let x = centred(a, &mean_a, 0, a.rows(), scale(a));
    let y = centred(b, &mean_b, 0, b.rows(), scale(b));
    let (fewer, more) = if a.rows() <= b.rows() { (&x, &y) } else { (&y, &x) };
    let mut cross = Mat::zeros(fewer.nrows(), more.nrows());
    matmul(cross.as_mut(), Accum::Replace, fewer.as_ref(), more.transpose(), 1.0, parallelism());
    let mut squares = Mat::zeros(fewer.nrows(), fewer.nrows());
    matmul(squares.as_mut(), Accum::Replace, cross.as_ref(), cross.transpose(), 1.0, parallelism());
    let roots: f64 = eigenvalues(&squares)?.into_iter().map(|value| value.max(0.0).sqrt()).sum();
    let means: f64 = mean_a.iter().zip(&mean_b).map(|(a, b)| (a - b).powi(2)).sum();
    let distance = means + x.squared_norm_l2() + y.squared_norm_l2() - 2.0 * roots;
    Ok(Frechet { distance: distance.max(0.0), rank_deficient: true })
}

fn check_count(features: Features<'_>) -> Result<(), FeatureError> {
    if features.rows() < 2 {
        return Err(FeatureError::TooFew { metric: NAME, needed: 2, found: features.rows() });
    }
    Ok(())
}

/// The images from `start` to `end` without the mean, times `scale`: `[images, dims]`.
fn centred(features: Features<'_>, mean: &[f64], start: usize, end: usize, scale: f64) -> Mat<f64> {
    let rows = features.matrix();
    Mat::from_fn(end - start, mean.len(), |i, j| (f64::from(rows[(start + i, j)]) - mean[j]) * scale)
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_core::random::{Draw, Stream, rng};

    /// A symmetric positive definite matrix V diag(values) V' with V a product of reflections.
    fn rotated(values: &[f64]) -> Vec<f64> {
        let n = values.len();
        let mut random = rng(7, Stream::Test, n as u64);
        let mut matrix = Mat::from_fn(n, n, |i, j| if i == j { values[i] } else { 0.0 });
        for _ in 0..3 {
            let v: Vec<f64> = (0..n).map(|_| random.normal()).collect();
            let square: f64 = v.iter().map(|x| x * x).sum();
            let reflection =
                Mat::from_fn(n, n, |i, j| f64::from(u8::from(i == j)) - 2.0 * v[i] * v[j] / square);
            matrix = &reflection * &matrix * reflection.transpose();
        }
        (0..n * n).map(|k| matrix[(k / n, k % n)]).collect()
    }

    fn gaussian(mean: f64, values: &[f64]) -> Moments {
        Moments::new(10_000, vec![mean; values.len()], &rotated(values)).unwrap()
    }

    #[test]
    fn commuting_gaussians_have_a_closed_form() {
        for n in [1usize, 5, 64] {
            let first: Vec<f64> = (0..n).map(|i| 0.01 + i as f64).collect();
            let second: Vec<f64> = (0..n).map(|i| 3.0 + (i % 7) as f64).collect();
            let roots: f64 = first.iter().zip(&second).map(|(a, b)| (a.sqrt() - b.sqrt()).powi(2)).sum();
            let expected = n as f64 * 0.25 + roots;
            let found = frechet_of_moments(&gaussian(1.0, &first), &gaussian(1.5, &second)).unwrap();
            assert!((found.distance - expected).abs() < 1e-8 * expected, "{} {expected}", found.distance);
            assert!(!found.rank_deficient);
        }
    }

    #[test]
    fn two_by_two_matrices_have_a_closed_form() {
        // tr (S1 S2)^(1/2) = (tr(S1 S2) + 2 (det S1 S2)^(1/2))^(1/2) for 2 x 2 matrices, commuting or not.
        let (s1, s2) = ([2.0, 0.5, 0.5, 1.0], [1.0, -0.7, -0.7, 3.0]);
        let trace = 2.0 - 0.35 - 0.35 + 3.0;
        let det = (2.0 - 0.25) * (3.0 - 0.49f64);
        let expected = 3.0 + 4.0 - 2.0 * (trace + 2.0 * det.sqrt()).sqrt();
        let moments = |s: &[f64]| Moments::new(9, vec![0.0; 2], s).unwrap();
        let found = frechet_of_moments(&moments(&s1), &moments(&s2)).unwrap().distance;
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }

    fn images(count: usize, dims: usize, shift: f64, index: u64) -> Vec<f32> {
        let mut random = rng(3, Stream::Test, index);
        (0..count * dims)
            .map(|i| ((1.0 + (i % dims) as f64 / dims as f64) * random.normal() + shift) as f32)
            .collect()
    }

    #[test]
    fn both_ways_agree_and_too_few_images_are_flagged() {
        for (n, m, dims) in [(40, 30, 64), (40, 100, 64), (65, 100, 64)] {
            let (x, y) = (images(n, dims, 0.0, 1), images(m, dims, 0.3, 2));
            let (x, y) = (Features::new(&x, dims).unwrap(), Features::new(&y, dims).unwrap());
            let few = of_few_images(x, y).unwrap().distance;
            let moments = frechet_of_moments(&Moments::of(x).unwrap(), &Moments::of(y).unwrap()).unwrap();
            assert!((few - moments.distance).abs() < 1e-7 * few, "{few} {}", moments.distance);
            assert_eq!(moments.rank_deficient, n.min(m) <= dims);
            assert_eq!(frechet(x, y).unwrap().rank_deficient, n.min(m) <= dims);
        }
    }

    #[test]
    fn a_set_is_at_no_distance_from_itself_and_one_image_is_refused() {
        let x = images(50, 8, 0.0, 1);
        let x = Features::new(&x, 8).unwrap();
        assert!(frechet(x, x).unwrap().distance < 1e-10);
        let one = Features::new(&[0.0; 8], 8).unwrap();
        assert!(matches!(frechet(x, one).unwrap_err(), FeatureError::TooFew { found: 1, .. }));
        let other = Features::new(&[0.0; 8], 4).unwrap();
        assert_eq!(frechet(x, other).unwrap_err(), FeatureError::Dims { expected: 8, found: 4 });
    }
}

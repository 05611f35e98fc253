//! Features of a set of images, and what can be wrong with them.

use std::ops::ControlFlow;

use faer::MatRef;

/// Why a metric of features has no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FeatureError {
    /// The values do not make whole rows.
    #[error("features: expected rows of {dims} values, found {values} values")]
    Shape {
        /// Values of a row.
        dims: usize,
        /// Values in all.
        values: usize,
    },
    /// NaN or infinity.
    #[error(
        "features: row {row} holds a value that is not finite\nhint: the network's weights do not suit these images"
    )]
    NotFinite {
        /// The first such row.
        row: usize,
    },
    /// Two sets that are compared have rows of different lengths.
    #[error("features: expected rows of {expected} values on both sides, found {found}")]
    Dims {
        /// Of the first set.
        expected: usize,
        /// Of the second.
        found: usize,
    },
    /// A set is too small for the metric.
    #[error(
        "{metric}: expected at least {needed} images in each set, found {found}\nhint: draw more images, or use more subjects"
    )]
    TooFew {
        /// The metric.
        metric: &'static str,
        /// What it needs.
        needed: usize,
        /// What there is.
        found: usize,
    },
    /// A [`Watch`] asked to stop.
    #[error("{metric}: stopped")]
    Stopped {
        /// The metric.
        metric: &'static str,
    },
    /// A decomposition did not converge, which needs values of extreme size.
    #[error(
        "{metric}: the decomposition of a {dims} x {dims} matrix did not converge\nhint: the features span too many orders of magnitude"
    )]
    NotConverged {
        /// The metric.
        metric: &'static str,
        /// Size of the matrix.
        dims: usize,
    },
}

/// Is told now and then how much of a long computation is done, from 0 to 1; a break ends it with
/// [`FeatureError::Stopped`].
pub type Watch<'a> = &'a mut dyn FnMut(f64) -> ControlFlow<()>;

/// Features of a set: `[rows, dims]`, an image a row, all finite.
#[derive(Clone, Copy, Debug)]
pub struct Features<'a> {
    values: &'a [f32],
    dims: usize,
}

impl<'a> Features<'a> {
    /// `values` row by row.
    ///
    /// # Errors
    /// [`FeatureError::Shape`] when they make no whole rows, [`FeatureError::NotFinite`].
    pub fn new(values: &'a [f32], dims: usize) -> Result<Self, FeatureError> {
        if dims == 0 || !values.len().is_multiple_of(dims) {
            return Err(FeatureError::Shape { dims, values: values.len() });
        }
        match values.iter().position(|value| !value.is_finite()) {
            Some(index) => Err(FeatureError::NotFinite { row: index / dims }),
            None => Ok(Self { values, dims }),
        }
    }

    /// Number of images.
    pub fn rows(&self) -> usize {
        self.values.len() / self.dims
    }

    /// Values of an image.
    pub fn dims(&self) -> usize {
        self.dims
    }

    /// All values, image after image.
    pub fn values(&self) -> &'a [f32] {
        self.values
    }

    /// Features of image `i`, `[dims]`.
    pub fn row(&self, i: usize) -> &'a [f32] {
        &self.values[i * self.dims..(i + 1) * self.dims]
    }

    /// The images `rows`, in that order; an index may repeat.
    pub fn gathered(&self, rows: &[u32]) -> FeatureMatrix {
        let mut values = Vec::with_capacity(rows.len() * self.dims);
        rows.iter().for_each(|&row| values.extend_from_slice(self.row(row as usize)));
        FeatureMatrix { values, dims: self.dims }
    }

    /// Mean over the images, `[dims]`.
    pub(super) fn mean(&self) -> Vec<f64> {
        let mut mean = vec![0.0; self.dims];
        for row in self.values.chunks_exact(self.dims) {
            mean.iter_mut().zip(row).for_each(|(sum, &value)| *sum += f64::from(value));
        }
        let count = self.rows() as f64;
        mean.iter_mut().for_each(|sum| *sum /= count);
        mean
    }

    /// As a matrix `[rows, dims]`.
    pub(super) fn matrix(&self) -> MatRef<'a, f32> {
        MatRef::from_row_major_slice(self.values, self.rows(), self.dims)
    }

    /// Refuses a set of other features.
    pub(super) fn check_beside(&self, other: &Features<'_>) -> Result<(), FeatureError> {
        if self.dims == other.dims {
            return Ok(());
        }
        Err(FeatureError::Dims { expected: self.dims, found: other.dims })
    }
}

/// [`Features`] with memory of their own.
#[derive(Clone, Debug, PartialEq)]
pub struct FeatureMatrix {
    values: Vec<f32>,
    dims: usize,
}

impl FeatureMatrix {
    /// `values` row by row.
    ///
    /// # Errors
    /// As [`Features::new`].
    pub fn new(values: Vec<f32>, dims: usize) -> Result<Self, FeatureError> {
        Features::new(&values, dims)?;
        Ok(Self { values, dims })
    }

    /// The features.
    pub fn view(&self) -> Features<'_> {
        Features { values: &self.values, dims: self.dims }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_checked() {
        assert_eq!(Features::new(&[1.0; 5], 2).unwrap_err(), FeatureError::Shape { dims: 2, values: 5 });
        assert!(Features::new(&[], 0).is_err());
        let broken = [0.0, 1.0, 2.0, f32::NAN];
        assert_eq!(Features::new(&broken, 2).unwrap_err(), FeatureError::NotFinite { row: 1 });
        let features = Features::new(&[1.0, 2.0, 3.0, 5.0], 2).unwrap();
        assert_eq!((features.rows(), features.row(1)), (2, &[3.0, 5.0][..]));
        assert_eq!(features.mean(), [2.0, 3.5]);
        assert_eq!(features.gathered(&[1, 1]).view().row(0), [3.0, 5.0]);
    }
}

//! Eigenvalues of symmetric matrices, and how many threads a product takes.

use faer::diag::Diag;
use faer::dyn_stack::{MemBuffer, MemStack};
use faer::linalg::evd::{ComputeEigenvectors, self_adjoint_evd, self_adjoint_evd_scratch};
use faer::{Mat, Par, get_global_parallelism};

use super::FeatureError;

/// All of rayon's threads; the one that we are on where it is one of them already, as in draws that are computed side by
/// side: threads that wait for each other inside each other's work take many times as long.
pub(super) fn parallelism() -> Par {
    if rayon::current_thread_index().is_some() { Par::Seq } else { get_global_parallelism() }
}

/// The eigenvalues of a symmetric matrix, of which the lower half is read, in rising order.
///
/// # Errors
/// [`FeatureError::NotConverged`].
pub(super) fn eigenvalues(matrix: &Mat<f64>) -> Result<Vec<f64>, FeatureError> {
    decompose(matrix, None)
}

/// As [`eigenvalues`], and the eigenvectors, a column each.
///
/// # Errors
/// [`FeatureError::NotConverged`].
pub(super) fn eigenvectors(matrix: &Mat<f64>) -> Result<(Vec<f64>, Mat<f64>), FeatureError> {
    let mut vectors = Mat::zeros(matrix.nrows(), matrix.nrows());
    let values = decompose(matrix, Some(&mut vectors))?;
    Ok((values, vectors))
}

fn decompose(matrix: &Mat<f64>, vectors: Option<&mut Mat<f64>>) -> Result<Vec<f64>, FeatureError> {
    let (dims, parallelism) = (matrix.nrows(), parallelism());
    let wanted = if vectors.is_some() { ComputeEigenvectors::Yes } else { ComputeEigenvectors::No };
    let mut values = Diag::<f64>::zeros(dims);
    let scratch = self_adjoint_evd_scratch::<f64>(dims, wanted, parallelism, Default::default());
    self_adjoint_evd(
        matrix.as_ref(),
        values.as_mut(),
        vectors.map(|vectors| vectors.as_mut()),
        parallelism,
        MemStack::new(&mut MemBuffer::new(scratch)),
        Default::default(),
    )
    .map_err(|_| FeatureError::NotConverged { metric: "frechet distance", dims })?;
    Ok(values.column_vector().iter().copied().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_by_two_matrices_have_known_eigenvalues() {
        // Of [[2, 1], [1, 2]]: 1 and 3; what is above the diagonal is not read.
        let matrix = Mat::from_fn(2, 2, |i, j| if i == j { 2.0 } else { f64::from(u8::from(i > j)) });
        let (values, vectors) = eigenvectors(&matrix).unwrap();
        assert_eq!(eigenvalues(&matrix).unwrap().len(), 2);
        assert!((values[0] - 1.0).abs() < 1e-14 && (values[1] - 3.0).abs() < 1e-14);
        assert!((vectors[(0, 1)].abs() - 0.5f64.sqrt()).abs() < 1e-14);
    }

    #[test]
    fn inside_rayons_threads_one_thread_is_taken() {
        rayon::ThreadPoolBuilder::new()
            .num_threads(2)
            .build()
            .unwrap()
            .install(|| assert_eq!(parallelism(), Par::Seq));
    }
}

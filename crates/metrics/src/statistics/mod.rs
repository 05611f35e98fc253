//! Statistics over subjects: bootstrap intervals, the Wilcoxon signed-rank test, Holm's correction, exact
//! intervals of proportions, how well a score tells two groups apart. The unit is
//! always the subject, never the slice: slices of one subject are not independent.

mod bootstrap;
mod proportion;
mod roc;
mod wilcoxon;

pub use bootstrap::Bootstrap;
pub use proportion::clopper_pearson;
pub use roc::{auc, detection};
pub use wilcoxon::{Wilcoxon, wilcoxon};

use crate::pair::MetricsError;

/// P values corrected for several tests by Holm's step-down method (Scandinavian Journal of Statistics 6, 1979):
/// the k-th smallest of m is multiplied by m - k + 1, kept from falling below the one before, and cut at 1.
/// In the order given.
pub fn holm(p_values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p_values.len()).collect();
    order.sort_by(|&a, &b| p_values[a].total_cmp(&p_values[b]));
    let mut adjusted = vec![0.0; p_values.len()];
    let mut least = 0.0f64;
    for (rank, index) in order.into_iter().enumerate() {
        least = least.max(p_values[index] * (p_values.len() - rank) as f64).min(1.0);
        adjusted[index] = least;
    }
    adjusted
}

pub(crate) fn check_finite(sample: &[f64]) -> Result<(), MetricsError> {
    match sample.iter().position(|value| !value.is_finite()) {
        Some(index) => Err(MetricsError::NotFinite { index, found: sample[index] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holm_on_a_textbook_case() {
        // R: p.adjust(c(0.01, 0.04, 0.03, 0.005), "holm") = 0.03 0.06 0.06 0.02.
        let found = holm(&[0.01, 0.04, 0.03, 0.005]);
        for (found, expected) in found.iter().zip([0.03, 0.06, 0.06, 0.02]) {
            assert!((found - expected).abs() < 1e-15);
        }
        assert_eq!(holm(&[0.6, 0.7]), [1.0, 1.0]);
        assert!(holm(&[]).is_empty());
    }
}

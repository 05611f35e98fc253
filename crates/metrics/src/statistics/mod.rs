//! Statistics over subjects: bootstrap intervals, exact intervals of shares, the Wilcoxon signed-rank test, corrections for
//! several tests, how well a score tells two groups apart. The unit is always the subject, never the slice: slices of one subject are not independent.

mod binomial;
mod bootstrap;
mod roc;
mod wilcoxon;

pub use binomial::clopper_pearson;
pub use bootstrap::Bootstrap;
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

/// Which of several tests are discoveries when at most a share `rate` of the discoveries may be false, by Benjamini and
/// Hochberg (Journal of the Royal Statistical Society B 57, 1995): all up to the largest rank k of m whose p value is at
/// most `rate * k / m`. In the order given. Holds for tests that depend on each other positively.
pub fn benjamini_hochberg(p_values: &[f64], rate: f64) -> Vec<bool> {
    let mut sorted = p_values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let m = sorted.len() as f64;
    let largest = sorted.iter().enumerate().rfind(|(i, p)| **p <= rate * (i + 1) as f64 / m);
    let limit = largest.map(|(_, p)| *p);
    p_values.iter().map(|p| limit.is_some_and(|limit| *p <= limit)).collect()
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

    #[test]
    fn discoveries_on_the_example_of_the_paper() {
        // Section 4.1 of the paper: fifteen p values, four discoveries at 0.05 (Bonferroni finds three).
        let p = [
            0.0001, 0.0004, 0.0019, 0.0095, 0.0201, 0.0278, 0.0298, 0.0344, 0.0459, 0.3240, 0.4262, 0.5719,
            0.6528, 0.7590, 1.0,
        ];
        let found = benjamini_hochberg(&p, 0.05);
        assert_eq!(found.iter().filter(|&&found| found).count(), 4);
        assert!(found[..4].iter().all(|&found| found));
        // A larger p value below its own bound brings smaller ones with it that miss theirs.
        assert_eq!(benjamini_hochberg(&[0.04, 0.03], 0.05), [true, true]);
        assert_eq!(benjamini_hochberg(&[0.06, 0.03], 0.05), [false, false]);
        assert!(benjamini_hochberg(&[], 0.05).is_empty());
    }
}

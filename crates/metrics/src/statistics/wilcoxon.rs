//! Wilcoxon's signed-rank test, two-sided.
//!
//! Source: Wilcoxon, Individual comparisons by ranking methods, Biometrics Bulletin 1(6), 1945. Differences of
//! zero are left out (Wilcoxon's own way), ties share their mean rank. Up to [`EXACT_DIFFERENCES`] differences
//! the p value is exact, conditional on the ranks, with ties too: every assignment of signs is equally likely
//! under the hypothesis, and a table counts them by rank sum. Beyond, it is the normal approximation with the
//! variance corrected for ties and without continuity correction. As `scipy.stats.wilcoxon`, except that
//! scipy's default falls back to the approximation for 14 or more differences with ties.

use super::check_finite;
use crate::pair::MetricsError;

/// Most differences that are tested exactly; as scipy's.
const EXACT_DIFFERENCES: usize = 50;

/// Result of the test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Wilcoxon {
    /// The smaller of the rank sums of positive and negative differences.
    pub statistic: f64,
    /// Two-sided p value, above 0, at most 1.
    pub p_value: f64,
    /// Differences that are not zero.
    pub n: usize,
    /// Whether the p value is exact rather than the normal approximation.
    pub exact: bool,
}

/// Tests paired differences for symmetry about zero; `None` when no difference is other than zero.
///
/// # Errors
/// [`MetricsError::NotFinite`].
pub fn wilcoxon(differences: &[f64]) -> Result<Option<Wilcoxon>, MetricsError> {
    check_finite(differences)?;
    let mut differences: Vec<f64> = differences.iter().copied().filter(|&d| d != 0.0).collect();
    let n = differences.len();
    if n == 0 {
        return Ok(None);
    }
    differences.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
    let (mut doubled_ranks, mut ties) = (Vec::with_capacity(n), 0.0);
    for group in differences.chunk_by(|a, b| a.abs() == b.abs()) {
        // Ranks first + 1 to first + length; twice their mean is an integer.
        let (first, length) = (doubled_ranks.len(), group.len());
        doubled_ranks.extend(std::iter::repeat_n(2 * first + length + 1, length));
        ties += (length as f64).powi(3) - length as f64;
    }
    let total = n * (n + 1);
    let positive: usize =
        doubled_ranks.iter().zip(&differences).filter(|(_, d)| **d > 0.0).map(|(rank, _)| rank).sum();
    let smaller = positive.min(total - positive);
    let exact = n <= EXACT_DIFFERENCES;
    let p_value = if exact {
        exact_p_value(&doubled_ranks, smaller)
    } else {
        let count = n as f64;
        let variance = (count * (count + 1.0) * (2.0 * count + 1.0) - ties / 2.0) / 24.0;
        let z = (total as f64 / 2.0 - smaller as f64) / 2.0 / variance.sqrt();
        two_sided_normal(z)
    };
    Ok(Some(Wilcoxon { statistic: smaller as f64 / 2.0, p_value, n, exact }))
}

/// Twice the share of sign assignments whose doubled rank sum is at most `smaller`, at most 1.
fn exact_p_value(doubled_ranks: &[usize], smaller: usize) -> f64 {
    // Shares, not counts: 2^50 assignments would still be exact in f64, and shares cannot overflow.
    let mut shares = vec![0.0f64; smaller + 1];
    shares[0] = 1.0;
    for &rank in doubled_ranks {
        for sum in (0..=smaller).rev() {
            let with_rank = if sum >= rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = (shares[sum] + with_rank) / 2.0;
        }
    }
    (2.0 * shares.iter().sum::<f64>()).min(1.0)
}

/// Probability that a standard normal value is farther than `z` >= 0 from zero: erfc(z / sqrt 2).
fn two_sided_normal(z: f64) -> f64 {
    let x = z / std::f64::consts::SQRT_2;
    let scale = (-x * x).exp() / std::f64::consts::PI.sqrt();
    if x < 2.0 {
        // Abramowitz and Stegun 7.1.6: a series of positive terms, so nothing cancels.
        let (mut term, mut sum) = (x, x);
        for k in 1..60 {
            term *= 2.0 * x * x / f64::from(2 * k + 1);
            sum += term;
        }
        1.0 - 2.0 * scale * sum
    } else {
        // Abramowitz and Stegun 7.1.14, the continued fraction from its far end.
        let tail = (1..120).rev().fold(x, |tail, k| x + f64::from(k) / 2.0 / tail);
        scale / tail
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_normal_tail_equals_scipy() {
        // scipy.special.erfc(z / sqrt(2)), scipy 1.17.1.
        for (z, expected) in [
            (0.0, 1.0),
            (0.5, 0.6170750774519739),
            (1.96, 0.04999579029644087),
            (2.8, 0.005110260660855875),
            (2.9, 0.003731626600768075),
            (8.0, 1.2441921148543658e-15),
        ] {
            assert!((two_sided_normal(z) / expected - 1.0).abs() < 1e-12, "{z}: {}", two_sided_normal(z));
        }
    }

    #[test]
    fn all_signs_of_a_small_sample_are_counted() {
        // Ranks 1, 2.5, 2.5, 4 with signs + - + +: sum of negatives 2.5; of 16 assignments four have a sum of
        // at most 2.5 (nothing, 1, 2.5, 2.5), so p = 2 * 4 / 16.
        let found = wilcoxon(&[1.0, -2.0, 2.0, 3.0, 0.0]).unwrap().unwrap();
        assert_eq!(found, Wilcoxon { statistic: 2.5, p_value: 0.5, n: 4, exact: true });
    }

    #[test]
    fn nothing_to_test_and_bad_values() {
        assert_eq!(wilcoxon(&[0.0, 0.0]).unwrap(), None);
        assert!(matches!(wilcoxon(&[f64::INFINITY]), Err(MetricsError::NotFinite { index: 0, .. })));
    }
}

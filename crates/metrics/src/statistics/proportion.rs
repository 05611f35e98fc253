//! The exact interval of a proportion (Clopper and Pearson, "The use of confidence or fiducial limits illustrated in the
//! case of the binomial", Biometrika 26, 1934).

use synthmr_core::records::Proportion;

/// Steps of bisection: each halves the interval, so the result has all digits of an `f64`.
const STEPS: usize = 60;

/// `k` of `n` with its exact interval at `level`; none at all when `n` is 0.
///
/// # Panics
/// When `k` exceeds `n`, or `level` is not between 0 and 1.
pub fn clopper_pearson(k: usize, n: usize, level: f64) -> Option<Proportion> {
    assert!(k <= n && level > 0.0 && level < 1.0, "{k} of {n} at {level}");
    if n == 0 {
        return None;
    }
    let tail = (1.0 - level) / 2.0;
    // The lower end is where `k` or more are as rare as the tail; the upper one where `k` or less are.
    let low = if k == 0 { 0.0 } else { solve(|p| 1.0 - at_most(k - 1, n, p) < tail) };
    let high = if k == n { 1.0 } else { solve(|p| at_most(k, n, p) > tail) };
    Some(Proportion { k, n, share: k as f64 / n as f64, low, high })
}

/// The place in (0, 1) up to which `below` holds.
fn solve(below: impl Fn(f64) -> bool) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    for _ in 0..STEPS {
        let middle = 0.5 * (low + high);
        if below(middle) { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// Probability of at most `k` successes in `n` trials, for `p` in (0, 1): a sum of terms, each from the one before.
fn at_most(k: usize, n: usize, p: f64) -> f64 {
    let (log_odds, mut log_term) = ((p / (1.0 - p)).ln(), n as f64 * (1.0 - p).ln());
    let mut sum = 0.0;
    for i in 0..=k {
        sum += log_term.exp();
        log_term += ((n - i) as f64 / (i + 1) as f64).ln() + log_odds;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `scipy.stats.binomtest(k, n).proportion_ci(level, "exact")`, scipy 1.17.1.
    const SCIPY: [(usize, usize, f64, f64, f64); 7] = [
        (0, 7, 0.95, 0.0, 0.4096163972250487),
        (7, 7, 0.95, 0.5903836027749514, 1.0),
        (1, 14, 0.95, 0.001806780659127629, 0.3386844899318212),
        (3, 10, 0.9, 0.08726443391415029, 0.6066242161055765),
        (250, 1000, 0.95, 0.2234304062646791, 0.2780500062237556),
        (999, 1000, 0.99, 0.9925937130616469, 0.9999949874707392),
        (12, 3000, 0.95, 0.0020685142713074726, 0.006976759682170865),
    ];

    #[test]
    fn intervals_equal_scipys() {
        for (k, n, level, low, high) in SCIPY {
            let found = clopper_pearson(k, n, level).unwrap();
            assert!((found.low - low).abs() < 1e-10 && (found.high - high).abs() < 1e-10, "{found:?}");
        }
        assert_eq!(clopper_pearson(0, 0, 0.95), None);
    }
}

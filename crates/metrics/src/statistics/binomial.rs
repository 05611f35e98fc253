//! Exact interval of a share: k of n, each independent of the others.
//!
//! Source: Clopper and Pearson, The use of confidence or fiducial limits illustrated in the case of the binomial,
//! Biometrika 26, 1934. Its ends are quantiles of beta distributions, found by halving; the incomplete beta function is the
//! continued fraction of Abramowitz and Stegun 26.5.8, by Lentz's method.

use synthmr_core::records::Interval;

/// The share `k / n` with its interval at `level` (0.95 is usual); nothing when `n` is 0.
///
/// # Panics
/// When `k` exceeds `n` or the level is not between 0 and 1.
pub fn clopper_pearson(k: usize, n: usize, level: f64) -> Interval {
    assert!(k <= n && level > 0.0 && level < 1.0, "{k} of {n} at {level}");
    if n == 0 {
        return Interval::default();
    }
    let tail = (1.0 - level) / 2.0;
    let (k, rest) = (k as f64, (n - k) as f64);
    let low = if k == 0.0 { 0.0 } else { beta_quantile(tail, k, rest + 1.0) };
    let high = if rest == 0.0 { 1.0 } else { beta_quantile(1.0 - tail, k + 1.0, rest) };
    Interval { mean: Some(k / n as f64), low: Some(low), high: Some(high), n }
}

fn beta_quantile(p: f64, a: f64, b: f64) -> f64 {
    let (mut low, mut high) = (0.0, 1.0);
    // Sixty halvings reach the last bit of a double.
    for _ in 0..60 {
        let middle = 0.5 * (low + high);
        if incomplete_beta(middle, a, b) < p { low = middle } else { high = middle }
    }
    0.5 * (low + high)
}

/// The regularised incomplete beta function I_x(a, b).
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return x.clamp(0.0, 1.0);
    }
    // The fraction converges quickly below the mean; beyond it, by symmetry.
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    const TINY: f64 = 1e-300;
    let nonzero = |value: f64| if value.abs() < TINY { TINY } else { value };
    let (mut c, mut d) = (1.0, 1.0 / nonzero(1.0 - (a + b) * x / (a + 1.0)));
    let mut fraction = d;
    for m in 1..500 {
        let m = f64::from(m);
        let even = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
        d = 1.0 / nonzero(1.0 + even * d);
        c = nonzero(1.0 + even / c);
        fraction *= c * d;
        let odd = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
        d = 1.0 / nonzero(1.0 + odd * d);
        c = nonzero(1.0 + odd / c);
        fraction *= c * d;
        if (c * d - 1.0).abs() < 1e-15 {
            break;
        }
    }
    front * fraction
}

/// Logarithm of the gamma function above 0: Stirling's series (Abramowitz and Stegun 6.1.41) from 15 on, by recurrence
/// below.
fn ln_gamma(x: f64) -> f64 {
    let (mut x, mut shift) = (x, 0.0);
    while x < 15.0 {
        shift += x.ln();
        x += 1.0;
    }
    let inverse = 1.0 / (x * x);
    let series = (1.0 / 12.0 - inverse * (1.0 / 360.0 - inverse * (1.0 / 1260.0 - inverse / 1680.0))) / x;
    (x - 0.5) * x.ln() - x + 0.5 * std::f64::consts::TAU.ln() + series - shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_equal_scipy() {
        // scipy.stats.binomtest(k, n).proportion_ci(level, "exact"), scipy 1.17.1.
        for (k, n, level, low, high) in GOLDEN {
            let found = clopper_pearson(k, n, level);
            let close = |found: Option<f64>, expected: f64| (found.unwrap() - expected).abs() < 1e-10;
            assert!(close(found.low, low) && close(found.high, high), "{k} of {n}: {found:?}");
        }
        assert_eq!(clopper_pearson(0, 0, 0.95), Interval::default());
    }

    const GOLDEN: [(usize, usize, f64, f64, f64); 10] = [
        (0, 10, 0.95, 0.0, 0.30849710781876294),
        (10, 10, 0.95, 0.6915028921812371, 1.0),
        (1, 90, 0.95, 0.00028126941369177073, 0.060357480574733224),
        (7, 1000, 0.95, 0.0028188587596180135, 0.014369194979269567),
        (50, 99, 0.9, 0.4181092215882658, 0.5917599312271716),
        (0, 7, 0.95, 0.0, 0.4096163972250487),
        (1, 14, 0.95, 0.001806780659127629, 0.3386844899318212),
        (999, 1000, 0.99, 0.9925937130616469, 0.9999949874707392),
        (12, 3000, 0.95, 0.0020685142713074726, 0.006976759682170865),
        (99000, 100000, 0.95, 0.9893638884706609, 0.9906074439109318),
    ];
}

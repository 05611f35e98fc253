//! How well a score tells two groups of subjects apart: the area under the curve, and what is detected at a given rate of
//! false alarms.

use synthmr_core::records::{Detection, Interval, Proportion};

use super::{check_finite, clopper_pearson};
use crate::pair::MetricsError;

/// Steps of bisection.
const STEPS: usize = 60;

/// The probability that a positive scores above a negative, ties counting half, with Newcombe's interval (method 5 of
/// "Confidence intervals for an effect size measure based on the Mann-Whitney statistic. Part 2", Statistics in Medicine
/// 25, 2006): where the estimate lies within `z` standard errors, the error being Hanley and McNeil's at the end of the
/// interval and for groups of equal size. Unlike a bootstrap it has a width also where the groups do not overlap.
/// Everything is `None` when a group is empty; `n` is the number of scores in both groups.
///
/// # Errors
/// [`MetricsError::NotFinite`].
pub fn auc(positives: &[f64], negatives: &[f64], z: f64) -> Result<Interval, MetricsError> {
    check_finite(positives)?;
    check_finite(negatives)?;
    let (m, n) = (positives.len(), negatives.len());
    if m == 0 || n == 0 {
        return Ok(Interval { mean: None, low: None, high: None, n: m + n });
    }
    let mut sorted = negatives.to_vec();
    sorted.sort_by(f64::total_cmp);
    let doubled: usize = positives
        .iter()
        .map(|&score| {
            sorted.partition_point(|&other| other < score) + sorted.partition_point(|&other| other <= score)
        })
        .sum();
    let (m, n) = (m as f64, n as f64);
    let area = doubled as f64 / (2.0 * m * n);
    let error = |theta: f64| {
        let others = (m + n) / 2.0 - 1.0;
        let pairs = (1.0 - theta) / (2.0 - theta) + theta / (1.0 + theta);
        z * (theta * (1.0 - theta) * (1.0 + others * pairs) / (m * n)).sqrt()
    };
    // Towards either end the distance grows faster than the error, up to the end where the error is 0.
    let end = |limit: f64| {
        let (mut within, mut beyond) = (area, limit);
        for _ in 0..STEPS {
            let middle = 0.5 * (within + beyond);
            if (middle - area).abs() <= error(middle) { within = middle } else { beyond = middle }
        }
        0.5 * (within + beyond)
    };
    Ok(Interval {
        mean: Some(area),
        low: Some(end(0.0)),
        high: Some(end(1.0)),
        n: positives.len() + negatives.len(),
    })
}

/// What is detected of the positives by a threshold that at most a share `rate` of the negatives exceed, with the exact
/// interval at `level`. It takes `1 / rate` negatives: with fewer even the largest of them says nothing about so rare
/// alarms, and nothing is given.
///
/// # Errors
/// [`MetricsError::NotFinite`].
pub fn detection(
    positives: &[f64],
    negatives: &[f64],
    rate: f64,
    level: f64,
) -> Result<Detection, MetricsError> {
    check_finite(positives)?;
    check_finite(negatives)?;
    // A tolerance for rates such as 0.1 + 0.2, which no machine number is.
    let needed = (1.0 / rate - 1e-9).ceil() as usize;
    let share = (negatives.len() >= needed).then(|| {
        let mut sorted = negatives.to_vec();
        sorted.sort_by(|a, b| b.total_cmp(a));
        let alarms = (rate * negatives.len() as f64 + 1e-9) as usize;
        let threshold = sorted.get(alarms).copied().unwrap_or(f64::NEG_INFINITY);
        let found = positives.iter().filter(|&&score| score > threshold).count();
        proportion(found, positives.len(), level)
    });
    Ok(Detection { false_alarms: rate, needed, negatives: negatives.len(), found: share.flatten() })
}

/// `k` of `n` with its exact interval; none at all when `n` is 0.
fn proportion(k: usize, n: usize, level: f64) -> Option<Proportion> {
    let Interval { mean, low, high, .. } = clopper_pearson(k, n, level);
    Some(Proportion { k, n, share: mean?, low: low?, high: high? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_core::random::{Draw, Stream, rng};

    const Z: f64 = 1.959963984540054;

    /// Positives, negatives, and where Newcombe's equation `(theta - area)^2 = z^2 V(theta)` is solved by
    /// `scipy.optimize.brentq`, scipy 1.17.1.
    type Case = (&'static [f64], &'static [f64], f64, f64);
    const SCIPY: [Case; 4] = [
        (&[3.0, 1.0], &[0.0, 1.0, 2.0], 0.2601267780838426, 0.9599776148687351),
        (&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0], &[-1.0, -2.0], 0.5223710157933168, 1.0),
        (
            &[0.3, 0.1, 0.9, 0.4, 0.7, 0.2, 0.25, 0.8],
            &[0.35, 0.15, 0.5, 0.05, 0.6],
            0.3171672592769331,
            0.8517512357956779,
        ),
        (&[0.0, 0.1], &[5.0, 6.0, 7.0], 0.0, 0.5610876109041635),
    ];

    #[test]
    fn the_area_counts_pairs() {
        // Of 6 pairs 4 are in order and one is a tie.
        let found = auc(&[3.0, 1.0], &[0.0, 1.0, 2.0], Z).unwrap();
        assert!((found.mean.unwrap() - 4.5 / 6.0).abs() < 1e-15);
        assert_eq!(auc(&[], &[1.0], Z).unwrap().mean, None);
        assert!(auc(&[f64::NAN], &[1.0], Z).is_err());
    }

    #[test]
    fn the_ends_solve_newcombes_equation() {
        for (positives, negatives, low, high) in SCIPY {
            let found = auc(positives, negatives, Z).unwrap();
            assert!((found.low.unwrap() - low).abs() < 1e-9, "{found:?}");
            assert!((found.high.unwrap() - high).abs() < 1e-9, "{found:?}");
        }
    }

    /// Where scores say nothing, 0.5 lies within 95 % of the intervals; small groups included.
    #[test]
    fn the_interval_covers_chance() {
        let mut random = rng(9, Stream::Test, 0);
        for (m, n) in [(14, 5), (40, 40), (5, 3)] {
            let covered = (0..2000).filter(|_| {
                let mut draw = |count| (0..count).map(|_| random.normal()).collect::<Vec<f64>>();
                let found = auc(&draw(m), &draw(n), Z).unwrap();
                (found.low.unwrap()..=found.high.unwrap()).contains(&0.5)
            });
            let share = covered.count() as f64 / 2000.0;
            assert!((0.935..=0.985).contains(&share), "{m} and {n}: {share}");
        }
    }

    #[test]
    fn detections_need_enough_negatives() {
        let negatives: Vec<f64> = (0..100).map(f64::from).collect();
        let found = detection(&[98.5, 99.5, 98.0], &negatives, 0.01, 0.95).unwrap();
        // One of a hundred may be above: the threshold is the second largest, 98.
        assert_eq!(found.found.as_ref().map(|share| (share.k, share.n)), Some((2, 3)));
        let found = detection(&[99.5], &negatives[1..], 0.01, 0.95).unwrap();
        assert_eq!((found.needed, found.negatives, found.found), (100, 99, None));
        assert_eq!(detection(&[1.0], &negatives, 0.001, 0.95).unwrap().needed, 1000);
    }
}

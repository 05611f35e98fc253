//! Percentile bootstrap interval of a mean over subjects.
//!
//! Source: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3. Of the intervals given
//! there the percentile interval is used rather than BCa: it stays inside the range of the values, needs no
//! estimate that fails when all subjects agree or few are there, and a reader can check it by hand. With fewer
//! than about 15 subjects either is too narrow; `docs/metrics.md` says so to the user.

use synthmr_core::random::{Draw, Rng, Stream, rng};
use synthmr_core::records::Interval;

use super::check_finite;
use crate::pair::MetricsError;
use crate::surface::percentile;

/// How intervals are made. Two samples of the same length see the same resamples of their subjects, so intervals
/// of several metrics belong together, and the same input gives the same interval everywhere.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Bootstrap {
    resamples: usize,
    seed: u64,
    level: f64,
}

impl Bootstrap {
    /// `resamples` >= 1 (10,000 is usual), `level` between 0 and 1 (0.95 is usual).
    ///
    /// # Errors
    /// [`MetricsError::Bootstrap`].
    pub fn new(resamples: usize, seed: u64, level: f64) -> Result<Self, MetricsError> {
        if resamples == 0 || !(level > 0.0 && level < 1.0) {
            return Err(MetricsError::Bootstrap { resamples, level });
        }
        Ok(Self { resamples, seed, level })
    }

    /// Mean of a sample (a value a subject) with the interval between the `(1 - level) / 2` and `(1 + level) / 2`
    /// quantiles of the means of resamples drawn with replacement. Without a value everything is `None`; with one
    /// value there is a mean and no interval, because one subject says nothing about the spread.
    ///
    /// # Errors
    /// [`MetricsError::NotFinite`].
    pub fn mean(&self, sample: &[f64]) -> Result<Interval, MetricsError> {
        check_finite(sample)?;
        let n = sample.len();
        if n == 0 {
            return Ok(Interval::default());
        }
        let mean = sample.iter().sum::<f64>() / n as f64;
        if n == 1 {
            return Ok(Interval { mean: Some(mean), low: None, high: None, n });
        }
        let means = self.resample(n, |random| {
            (0..n).map(|_| sample[random.below(n as u64) as usize]).sum::<f64>() / n as f64
        });
        Ok(self.interval(mean, means, n))
    }

    /// What `statistic` makes of each resample of `n` subjects; it draws them itself.
    pub(crate) fn resample<S>(&self, n: usize, mut statistic: impl FnMut(&mut Rng) -> S) -> Vec<S> {
        let mut random = rng(self.seed, Stream::Bootstrap, n as u64);
        (0..self.resamples).map(|_| statistic(&mut random)).collect()
    }

    /// A mean over `n` subjects with the percentiles of its resamples, at least one.
    pub(crate) fn interval(&self, mean: f64, mut resamples: Vec<f64>, n: usize) -> Interval {
        let tail = (1.0 - self.level) / 2.0;
        let (low, high) = (percentile(&mut resamples, tail), percentile(&mut resamples, 1.0 - tail));
        Interval { mean: Some(mean), low: Some(low), high: Some(high), n }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_subjects_have_no_interval() {
        let bootstrap = Bootstrap::new(100, 1, 0.95).unwrap();
        assert_eq!(bootstrap.mean(&[]).unwrap(), Interval::default());
        assert_eq!(
            bootstrap.mean(&[0.5]).unwrap(),
            Interval { mean: Some(0.5), low: None, high: None, n: 1 }
        );
        assert_eq!(
            bootstrap.mean(&[0.5, 0.5]).unwrap(),
            Interval { mean: Some(0.5), low: Some(0.5), high: Some(0.5), n: 2 }
        );
        assert!(bootstrap.mean(&[0.5, f64::NAN]).is_err());
    }

    /// The resamples of four values are 256 equally likely rows; their quantiles are known without drawing.
    #[test]
    fn the_interval_approaches_that_of_all_possible_resamples() {
        let sample = [0.11, 0.46, 0.83, 0.95];
        let mut all: Vec<f64> = (0..256)
            .map(|row: usize| (0..4).map(|i| sample[row >> (2 * i) & 3]).sum::<f64>() / 4.0)
            .collect();
        let found = Bootstrap::new(200_000, 5, 0.9).unwrap().mean(&sample).unwrap();
        // Neighbouring means lie up to 0.03 apart; a wrong tail or level moves an end by more.
        assert!((found.low.unwrap() - percentile(&mut all, 0.05)).abs() < 0.031);
        assert!((found.high.unwrap() - percentile(&mut all, 0.95)).abs() < 0.031);
    }
}

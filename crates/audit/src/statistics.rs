//! Shares with intervals, resampled over what is independent: subjects for real images, images for synthetic ones.

use synthmr_core::random::{Draw, Rng, Stream, rng};
use synthmr_core::records::Interval;

use crate::calibration::quantile;

/// Up to this number of images resampled counts are drawn one by one; beyond, from the normal distribution.
const DRAWN_ONE_BY_ONE: usize = 4096;

/// Flagged images of one subject.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// Flagged.
    pub flagged: usize,
    /// Of so many.
    pub n: usize,
}

/// How intervals are made.
#[derive(Clone, Copy, Debug)]
pub struct Resampling {
    /// Number of resamples.
    pub resamples: usize,
    /// Seed.
    pub seed: u64,
    /// Level, such as 0.95.
    pub level: f64,
}

impl Resampling {
    /// Share of flagged images over all subjects, with the percentile interval of resampled subjects; nothing without
    /// subjects, no interval with one.
    pub fn clustered(&self, subjects: &[Count]) -> Interval {
        self.interval(rate(subjects), subjects.len(), |random| rate_of(random, subjects))
    }

    /// Share flagged of a set of independent images minus that of the subjects' images.
    pub fn excess(&self, images: Count, subjects: &[Count]) -> Interval {
        let estimate = rate(subjects).map(|control| share(images) - control);
        self.interval(estimate, subjects.len(), |random| {
            Some(resampled(random, images) - rate_of(random, subjects)?)
        })
    }

    /// Share of copies among independent images, from what is flagged, the rate of false alarms and the recall: Rogan and
    /// Gladen, American Journal of Epidemiology 107, 1978. All three are resampled.
    pub fn estimated_share(&self, images: Count, subjects: &[Count], planted: Count) -> Interval {
        let estimate = |flagged: f64, alarms: f64, recall: f64| {
            let gain = recall - alarms;
            if gain > 0.05 { Some(((flagged - alarms) / gain).clamp(0.0, 1.0)) } else { None }
        };
        let value = rate(subjects).and_then(|alarms| estimate(share(images), alarms, share(planted)));
        self.interval(value, subjects.len(), |random| {
            let flagged = resampled(random, images);
            let alarms = rate_of(random, subjects)?;
            estimate(flagged, alarms, resampled(random, planted))
        })
    }

    fn interval(
        &self,
        estimate: Option<f64>,
        subjects: usize,
        mut draw: impl FnMut(&mut Rng) -> Option<f64>,
    ) -> Interval {
        let Some(mean) = estimate else { return Interval::default() };
        if subjects < 2 {
            return Interval { mean: Some(mean), low: None, high: None, n: subjects };
        }
        let mut random = rng(self.seed, Stream::Bootstrap, subjects as u64);
        let mut values: Vec<f64> = (0..self.resamples).filter_map(|_| draw(&mut random)).collect();
        let tail = (1.0 - self.level) / 2.0;
        let (low, high) = (quantile(&mut values, tail), quantile(&mut values, 1.0 - tail));
        Interval { mean: Some(mean), low: Some(low), high: Some(high), n: subjects }
    }
}

fn share(count: Count) -> f64 {
    count.flagged as f64 / count.n.max(1) as f64
}

fn rate(subjects: &[Count]) -> Option<f64> {
    let n: usize = subjects.iter().map(|count| count.n).sum();
    let flagged: usize = subjects.iter().map(|count| count.flagged).sum();
    (n > 0).then(|| flagged as f64 / n as f64)
}

/// The rate of as many subjects, drawn with replacement.
fn rate_of(random: &mut Rng, subjects: &[Count]) -> Option<f64> {
    let drawn: Vec<Count> =
        subjects.iter().map(|_| subjects[random.below(subjects.len() as u64) as usize]).collect();
    rate(&drawn)
}

/// The share flagged of as many images, drawn with replacement.
fn resampled(random: &mut Rng, images: Count) -> f64 {
    let p = share(images);
    if images.n <= DRAWN_ONE_BY_ONE {
        return (0..images.n).filter(|_| random.chance(p)).count() as f64 / images.n.max(1) as f64;
    }
    (p + random.normal() * (p * (1.0 - p) / images.n as f64).sqrt()).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESAMPLING: Resampling = Resampling { resamples: 2000, seed: 1, level: 0.95 };

    #[test]
    fn slices_of_one_subject_are_one_observation() {
        let spread: Vec<Count> = (0..20).map(|_| Count { flagged: 2, n: 40 }).collect();
        let heap: Vec<Count> =
            (0..20).map(|i| Count { flagged: if i == 0 { 40 } else { 0 }, n: 40 }).collect();
        let (a, b) = (RESAMPLING.clustered(&spread), RESAMPLING.clustered(&heap));
        assert_eq!((a.mean, b.mean), (Some(0.05), Some(0.05)));
        assert_eq!((a.low, a.high), (Some(0.05), Some(0.05)));
        assert!(b.low == Some(0.0) && b.high.unwrap() > 0.12, "{b:?}");
        assert_eq!(RESAMPLING.clustered(&heap[..1]).low, None);
        assert_eq!(RESAMPLING.clustered(&[]), Interval::default());
    }

    #[test]
    fn a_share_of_copies_is_recovered_from_flags_alarms_and_recall() {
        // 5 % copies, found at 90 %, and 1 % false alarms: 0.05 * 0.9 + 0.95 * 0.01.
        let images = Count { flagged: 545, n: 10_000 };
        let subjects = vec![Count { flagged: 1, n: 100 }; 10];
        let found = RESAMPLING.estimated_share(images, &subjects, Count { flagged: 900, n: 1000 });
        assert!((found.mean.unwrap() - 0.05).abs() < 1e-12, "{found:?}");
        assert!(found.low.unwrap() < 0.05 && found.high.unwrap() > 0.05 && found.high.unwrap() < 0.06);
        let nothing = RESAMPLING.estimated_share(images, &subjects, Count { flagged: 0, n: 1000 });
        assert_eq!(nothing, Interval::default(), "an audit that finds nothing estimates nothing");
        let excess = RESAMPLING.excess(images, &subjects);
        assert!((excess.mean.unwrap() - 0.0445).abs() < 1e-12 && excess.low.unwrap() > 0.035);
    }
}

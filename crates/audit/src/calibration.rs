//! What scores mean: null scores of subjects that no query copies, a threshold at a false alarm rate, and p values.
//!
//! Null scores come from `val` and from training subjects, each compared with the training subjects without itself: to
//! the others it is as new as a held-out one (the jackknife+ of Barber et al., Annals of Statistics 49, 2021). Slices of a subject
//! are not exchangeable, so every subject has the same weight, however many slices it has.

use serde::{Deserialize, Serialize};

use crate::detectors::{Found, Match};

/// Parts of the images by the share that the head covers; margins are judged within their part.
pub const STRATA: usize = 3;
/// Null images that a part needs for its own scale; below, all parts share one.
const FEWEST_IN_STRATUM: usize = 40;
/// Share of the null scores that the tail is fitted to.
const TAIL: f64 = 0.1;
/// Upper quartile ranges that make one unit of the score: the quarter of the images that a twin may spoil does not matter.
const RANGES: f64 = 4.0;
/// A training subject whose median null score is beyond this has a twin in the cohort, and is no new subject.
const TWIN: f64 = 1.5;
/// One subject in so many may be a twin.
const TWINS_AT_MOST: usize = 4;
/// Smallest unit of margins, on Fisher's scale: where few images are nearly equal, their spread says nothing.
const SMALLEST_UNIT: f64 = 0.2;
/// Smallest mean excess of the tail.
const SMALLEST_SPREAD: f64 = 1e-3;

/// What was found for one query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Every measure's, in the order of the detectors' lists.
    pub found: Vec<Found>,
    /// Share of the image that the head covers.
    pub share: f64,
}

/// Null queries of one subject.
#[derive(Clone, Debug)]
pub struct NullSubject {
    /// Its place among the real subjects.
    pub subject: usize,
    /// Its images.
    pub queries: Vec<Query>,
}

/// A score with the measure and match that it comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Score {
    /// The largest standardised margin; 0 is a typical new subject's image.
    pub value: f64,
    /// Its measure.
    pub measure: usize,
    /// Its match.
    pub matched: Match,
}

/// The meaning of margins, from null queries.
#[derive(Clone, Debug)]
pub struct Calibration {
    /// Upper ends of the strata but the last.
    edges: Vec<f64>,
    /// Median and unit of every measure in every stratum.
    scales: Vec<Vec<(f64, f64)>>,
    /// Null scores with their weights, ascending by score.
    null: Vec<(f64, f64)>,
    /// Where the fitted tail begins, and its mean excess.
    tail: (f64, f64),
    /// Score beyond which an image is flagged.
    pub threshold: f64,
    /// Subjects behind it.
    pub subjects: usize,
    /// Images behind it.
    pub images: usize,
    /// Training subjects that resemble another one too much to stand for new subjects.
    pub twins: Vec<usize>,
}

impl Calibration {
    /// From null queries, at a false alarm rate for single images.
    ///
    /// # Panics
    /// Without null queries.
    pub fn new(null: &[NullSubject], rate: f64) -> Self {
        let everybody: Vec<&NullSubject> = null.iter().collect();
        let scaled = Self::scaled(&everybody);
        let (mut twins, mut kept): (Vec<&NullSubject>, Vec<&NullSubject>) =
            everybody.iter().partition(|subject| {
                let mut scores: Vec<f64> =
                    subject.queries.iter().filter_map(|query| Some(scaled.train(query)?.value)).collect();
                quantile(&mut scores, 0.5) > TWIN
            });
        // Where many resemble each other, that is what subjects do here.
        if twins.len() * TWINS_AT_MOST > everybody.len() {
            (twins, kept) = (Vec::new(), everybody);
        }
        let mut calibration = Self::scaled(&kept);
        calibration.twins = twins.iter().map(|subject| subject.subject).collect();
        calibration.subjects = kept.len();
        let mut scores = Vec::new();
        for subject in &kept {
            let weight = 1.0 / (kept.len() * subject.queries.len().max(1)) as f64;
            calibration.images += subject.queries.len();
            scores.extend(
                subject
                    .queries
                    .iter()
                    .map(|query| (calibration.train(query).map_or(0.0, |score| score.value), weight)),
            );
        }
        scores.sort_by(|a, b| a.0.total_cmp(&b.0));
        calibration.null = scores;
        calibration.threshold = calibration.at_exceedance(rate);
        calibration.tail = calibration.fitted_tail();
        calibration
    }

    /// Strata and scales alone. Every subject has the same weight.
    fn scaled(null: &[&NullSubject]) -> Self {
        let queries: Vec<(&Query, f64)> = null
            .iter()
            .flat_map(|subject| {
                subject.queries.iter().map(|query| (query, 1.0 / subject.queries.len() as f64))
            })
            .collect();
        let mut shares: Vec<(f64, f64)> =
            queries.iter().map(|(query, weight)| (query.share, *weight)).collect();
        let edges: Vec<f64> =
            (1..STRATA).map(|i| weighted_quantile(&mut shares, i as f64 / STRATA as f64)).collect();
        let measures = queries.first().map_or(0, |(query, _)| query.found.len());
        let stratum = |share: f64| edges.iter().filter(|&&edge| share > edge).count();
        let scales = (0..measures).map(|measure| {
            let margins = |part: Option<usize>| -> Vec<(f64, f64)> {
                let inside =
                    queries.iter().filter(|(query, _)| part.is_none_or(|part| stratum(query.share) == part));
                inside
                    .filter_map(|(query, weight)| Some((query.found[measure].train?.margin, *weight)))
                    .collect()
            };
            let of = |margins: &mut Vec<(f64, f64)>| {
                let middle = weighted_quantile(margins, 0.5);
                (middle, (RANGES * (weighted_quantile(margins, 0.75) - middle)).max(SMALLEST_UNIT))
            };
            let whole = of(&mut margins(None));
            (0..STRATA)
                .map(|part| {
                    let mut margins = margins(Some(part));
                    if margins.len() < FEWEST_IN_STRATUM { whole } else { of(&mut margins) }
                })
                .collect()
        });
        Self {
            scales: scales.collect(),
            edges: edges.clone(),
            null: Vec::new(),
            tail: (0.0, 1.0),
            threshold: 0.0,
            subjects: null.len(),
            images: 0,
            twins: Vec::new(),
        }
    }

    /// The part of the images that a query belongs to.
    pub fn stratum(&self, query: &Query) -> usize {
        self.edges.iter().filter(|&&edge| query.share > edge).count()
    }

    /// The score against training subjects; none when no measure could compare the query.
    pub fn train(&self, query: &Query) -> Option<Score> {
        self.score(query, |found| found.train)
    }

    /// The score against held-out subjects, on the same scale.
    pub fn held_out(&self, query: &Query) -> Option<Score> {
        self.score(query, |found| found.held_out)
    }

    fn score(&self, query: &Query, of: impl Fn(&Found) -> Option<Match>) -> Option<Score> {
        let part = self.stratum(query);
        let scores = query.found.iter().enumerate().filter_map(|(measure, found)| {
            let matched = of(found)?;
            let (middle, unit) = self.scales[measure][part];
            Some(Score { value: (matched.margin - middle) / unit, measure, matched })
        });
        scores.max_by(|a, b| a.value.total_cmp(&b.value))
    }

    /// Whether a query is flagged as a copy of a training image.
    pub fn flags(&self, query: &Query) -> bool {
        self.train(query).is_some_and(|score| score.value > self.threshold)
    }

    /// Share of the null, by weight, beyond a score.
    fn exceedance(&self, score: f64) -> f64 {
        self.null.iter().rev().take_while(|(value, _)| *value >= score).map(|(_, weight)| weight).sum()
    }

    /// The smallest null score beyond which at most a share of the null lies.
    fn at_exceedance(&self, share: f64) -> f64 {
        let mut beyond = 0.0;
        for (value, weight) in self.null.iter().rev() {
            beyond += weight;
            if beyond > share {
                return *value;
            }
        }
        self.null.first().map_or(0.0, |(value, _)| *value)
    }

    /// An exponential tail (Pickands, Annals of Statistics 3, 1975, with shape 0), its mean excess at the upper end of a one-sided
    /// 95 % interval for as many subjects as there are: few subjects give large p values.
    fn fitted_tail(&self) -> (f64, f64) {
        let begin = self.at_exceedance(TAIL);
        let (mut sum, mut weight) = (0.0, 0.0);
        for (value, w) in self.null.iter().filter(|(value, _)| *value > begin) {
            sum += (value - begin) * w;
            weight += w;
        }
        let mean = if weight > 0.0 { sum / weight } else { 1.0 };
        (begin, mean.max(SMALLEST_SPREAD) * (1.0 + 1.645 / (self.subjects.max(1) as f64).sqrt()))
    }

    /// Chance that a new subject's image has this score or more. Beyond the null's upper tenth it is extrapolated.
    pub fn p_value(&self, score: f64) -> f64 {
        let (begin, mean) = self.tail;
        if score <= begin {
            return self.exceedance(score).clamp(TAIL, 1.0);
        }
        TAIL * (-(score - begin) / mean).exp()
    }
}

/// The smallest value at which a share `q` of the weight is reached; 0 without values.
fn weighted_quantile(values: &mut [(f64, f64)], q: f64) -> f64 {
    values.sort_by(|a, b| a.0.total_cmp(&b.0));
    let total: f64 = values.iter().map(|(_, weight)| weight).sum();
    let mut below = 0.0;
    for (value, weight) in values.iter() {
        below += weight;
        if below >= q * total {
            return *value;
        }
    }
    values.last().map_or(0.0, |(value, _)| *value)
}

/// Linear quantile; 0 without values.
pub(crate) fn quantile(values: &mut [f64], q: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    values.sort_by(f64::total_cmp);
    let at = q * (values.len() - 1) as f64;
    let (low, part) = (at.floor() as usize, at.fract());
    let high = values[(low + 1).min(values.len() - 1)];
    values[low] + part * (high - values[low])
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_core::random::{Draw, Stream, rng};

    fn query(margin: f64, share: f64) -> Query {
        let train = Some(Match { margin, similarity: 0.5, position: 0 });
        Query { found: vec![Found { train, held_out: None }], share }
    }

    fn null(subjects: usize, slices: usize, seed: u64) -> Vec<NullSubject> {
        let mut random = rng(seed, Stream::Test, 0);
        (0..subjects)
            .map(|subject| {
                let own = 0.1 * random.normal();
                let queries =
                    (0..slices).map(|i| query(own - 0.2 * random.uniform().ln(), i as f64)).collect();
                NullSubject { subject, queries }
            })
            .collect()
    }

    #[test]
    fn new_subjects_are_flagged_at_the_rate_and_p_values_are_no_smaller_than_true() {
        let calibration = Calibration::new(&null(60, 40, 1), 0.01);
        let fresh: Vec<Query> = null(400, 40, 2).into_iter().flat_map(|subject| subject.queries).collect();
        let share = |limit: f64| {
            let scores = fresh.iter().map(|query| calibration.train(query).unwrap().value);
            scores.filter(|&score| calibration.p_value(score) <= limit).count() as f64 / fresh.len() as f64
        };
        let flagged = fresh.iter().filter(|query| calibration.flags(query)).count() as f64 / 16_000.0;
        assert!((0.005..0.017).contains(&flagged), "{flagged}");
        for limit in [0.05, 0.01, 0.001, 0.0001] {
            assert!(share(limit) <= limit * 1.3, "{limit}: {}", share(limit));
        }
        assert!(share(0.05) > 0.01, "p values are not useless either");
    }

    #[test]
    fn strata_have_their_own_scale() {
        let mut subjects = null(20, 60, 3);
        for query in subjects.iter_mut().flat_map(|subject| &mut subject.queries) {
            if query.share < 20.0 {
                let margin = query.found[0].train.as_mut().unwrap();
                margin.margin *= 10.0;
            }
        }
        let calibration = Calibration::new(&subjects, 0.01);
        assert!(!calibration.flags(&query(2.5, 5.0)) && calibration.flags(&query(2.5, 50.0)));
    }

    #[test]
    fn a_subject_that_is_there_twice_does_not_blind_the_audit() {
        let mut subjects = null(16, 40, 4);
        let clean = Calibration::new(&subjects, 0.01).threshold;
        for twin in [3, 9] {
            subjects[twin].queries.iter_mut().for_each(|query| *query = Query { ..query.clone() });
            for query in &mut subjects[twin].queries {
                query.found[0].train.as_mut().unwrap().margin = 4.0;
            }
        }
        let calibration = Calibration::new(&subjects, 0.01);
        assert_eq!(calibration.twins, [3, 9]);
        assert!(calibration.threshold < 1.5 * clean, "{} {clean}", calibration.threshold);
    }

    #[test]
    fn every_subject_counts_the_same() {
        // One subject with many slices and small margins must not lower the threshold for all.
        let mut subjects = null(10, 20, 5);
        let before = Calibration::new(&subjects, 0.05).threshold;
        let many: Vec<Query> = (0..2000).map(|i| query(0.05, f64::from(i % 20))).collect();
        subjects.push(NullSubject { subject: 10, queries: many });
        let after = Calibration::new(&subjects, 0.05);
        // Scales are of images; the share beyond the threshold is of subjects.
        let beyond: f64 = subjects
            .iter()
            .map(|s| s.queries.iter().filter(|q| after.flags(q)).count() as f64 / s.queries.len() as f64)
            .sum::<f64>()
            / 11.0;
        assert!(before.is_finite() && (0.03..=0.05).contains(&beyond), "{beyond}");
    }
}

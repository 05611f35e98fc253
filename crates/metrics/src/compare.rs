//! Conditions beside a reference, subject by subject: differences, ratios, tests.
//!
//! A condition is one recipe trained with one or several seeds and tested on the same subjects. A subject's value is its
//! mean over seeds, so that seeds do not count as subjects. Intervals are of the percentile bootstrap over subjects and,
//! where a condition has several seeds, over seeds as well: every resample draws subjects, the same for both conditions,
//! and seeds, each condition its own, with replacement. Drawing k seeds with replacement gives (k - 1) / k of the variance
//! between seeds, so what a draw of seeds changes is enlarged by the root of k / (k - 1), but not beyond the values that a
//! metric can have. P values are those of the subjects given these trainings.

use std::iter::zip;

use rayon::prelude::*;
use synthmr_core::random::{Draw, Rng};
use synthmr_core::records::{ComparisonRow, Interval, MetricValues, Scored, SubjectResult};

use crate::pair::MetricsError;
use crate::statistics::{Bootstrap, check_finite, holm, wilcoxon};
use crate::summarise::{METRIC_NAMES, METRICS, Metric, mean};

/// One recipe's results: the subjects of each seed's evaluation, in one order.
#[derive(Clone, Debug)]
pub struct Condition<'a> {
    /// As the user calls it.
    pub name: &'a str,
    /// At least one.
    pub seeds: Vec<&'a [SubjectResult]>,
}

/// What is scored of a subject.
#[derive(Clone, Copy)]
struct Entry<'a> {
    scored: Scored,
    name: &'a str,
}

/// Values of one entry, seed by seed and subject by subject.
type Grid = Vec<Vec<Option<f64>>>;

/// Compares every condition with the reference in one metric of [`METRIC_NAMES`]: a row for each condition, and in it for
/// each class, the mean of the classes and each region. Subjects without a value in either condition are left out. P values
/// of classes and means are corrected together, over all conditions.
///
/// # Errors
/// [`MetricsError::Subjects`] when an evaluation has other subjects, [`MetricsError::MissingEntry`] when a subject lacks a
/// class or region, [`MetricsError::Metric`], [`MetricsError::NotFinite`].
pub fn compare(
    reference: &Condition<'_>,
    others: &[Condition<'_>],
    metric: &str,
    bootstrap: &Bootstrap,
) -> Result<Vec<ComparisonRow>, MetricsError> {
    let unknown = || MetricsError::Metric { found: metric.to_owned() };
    let position = METRIC_NAMES.iter().position(|&name| name == metric).ok_or_else(unknown)?;
    let subjects = reference.seeds.first().copied().unwrap_or_default();
    for condition in others.iter().chain([reference]) {
        let same = |seed: &&[SubjectResult]| {
            seed.len() == subjects.len() && zip(*seed, subjects).all(|(a, b)| a.subject == b.subject)
        };
        if let Some(seed) = condition.seeds.iter().position(|seed| !same(seed)) {
            return Err(MetricsError::Subjects { condition: condition.name.into(), seed: seed + 1 });
        }
    }
    let pairs: Vec<(&Condition<'_>, Entry<'_>)> = others
        .iter()
        .flat_map(|other| entries(subjects).into_iter().map(move |entry| (other, entry)))
        .collect();
    let one = |(other, entry): &(&Condition<'_>, Entry<'_>)| {
        let [reference, value] =
            [reference, *other].map(|condition| grid(condition, *entry, METRICS[position]));
        row(other.name, *entry, &reference?, &value?, most(metric), bootstrap)
    };
    let mut rows: Vec<ComparisonRow> = pairs.par_iter().map(one).collect::<Result<_, _>>()?;
    correct(&mut rows);
    Ok(rows)
}

/// The largest value that a metric can have; the smallest is 0 for all of them.
fn most(metric: &str) -> f64 {
    if ["hd", "hd95", "assd"].contains(&metric) { f64::INFINITY } else { 1.0 }
}

/// Classes, their mean, regions, by the names of the first subject.
fn entries(subjects: &[SubjectResult]) -> Vec<Entry<'_>> {
    let Some(first) = subjects.first() else { return Vec::new() };
    let classes = first.classes.keys().map(|name| Entry { scored: Scored::Class, name });
    let mean = Entry { scored: Scored::Mean, name: "mean" };
    let regions = first.regions.keys().map(|name| Entry { scored: Scored::Region, name });
    classes.chain([mean]).chain(regions).collect()
}

fn grid(condition: &Condition<'_>, entry: Entry<'_>, metric: Metric) -> Result<Grid, MetricsError> {
    let value = |subject: &SubjectResult| -> Result<Option<f64>, MetricsError> {
        let missing = || MetricsError::MissingEntry {
            subject: subject.subject.to_string(),
            name: entry.name.to_owned(),
        };
        let get = |values: Option<&MetricValues>| values.map(metric).ok_or_else(missing);
        match entry.scored {
            Scored::Class => get(subject.classes.get(entry.name)),
            Scored::Region => get(subject.regions.get(entry.name)),
            Scored::Mean => Ok(mean(subject.classes.values().filter_map(metric))),
        }
    };
    let seed = |seed: &&[SubjectResult]| seed.iter().map(value).collect::<Result<Vec<_>, _>>();
    condition.seeds.iter().map(seed).collect()
}

/// A subject's mean over some seeds.
fn over_seeds(grid: &Grid, seeds: &[usize], subject: usize) -> Option<f64> {
    mean(seeds.iter().filter_map(|&seed| grid[seed][subject]))
}

fn row(
    condition: &str,
    entry: Entry<'_>,
    reference: &Grid,
    value: &Grid,
    most: f64,
    bootstrap: &Bootstrap,
) -> Result<ComparisonRow, MetricsError> {
    let all_of = |grid: &Grid| (0..grid.len()).collect::<Vec<_>>();
    let (reference_seeds, value_seeds) = (all_of(reference), all_of(value));
    let both = |subject: usize, a: &[usize], b: &[usize]| {
        Some((over_seeds(reference, a, subject)?, over_seeds(value, b, subject)?))
    };
    let subject_count = reference.first().map_or(0, Vec::len);
    let kept: Vec<usize> = (0..subject_count)
        .filter(|&subject| both(subject, &reference_seeds, &value_seeds).is_some())
        .collect();
    let pairs: Vec<(f64, f64)> =
        kept.iter().filter_map(|&subject| both(subject, &reference_seeds, &value_seeds)).collect();
    let differences: Vec<f64> = pairs.iter().map(|(a, b)| b - a).collect();
    check_finite(&differences)?;
    let test = wilcoxon(&differences)?;
    let mut row = ComparisonRow {
        condition: condition.to_owned(),
        scored: entry.scored,
        name: entry.name.to_owned(),
        reference: Interval::default(),
        value: Interval::default(),
        difference: Interval::default(),
        ratio: Interval::default(),
        // Subjects that are all alike say nothing against the hypothesis, and are a test of the family.
        p_value: (!differences.is_empty()).then_some(test.map_or(1.0, |test| test.p_value)),
        p_holm: None,
    };
    let n = kept.len();
    let Some((first, second)) = means(pairs.iter().copied()) else { return Ok(row) };
    let ratio = (first != 0.0).then(|| second / first);
    let alone = |mean: Option<f64>| Interval { mean, low: None, high: None, n };
    if n == 1 {
        (row.reference, row.value) = (alone(Some(first)), alone(Some(second)));
        (row.difference, row.ratio) = (alone(Some(second - first)), alone(ratio));
        return Ok(row);
    }
    let drawn: Vec<(f64, f64)> = bootstrap
        .resample(n, |random| {
            let subjects: Vec<usize> = (0..n).map(|_| kept[random.below(n as u64) as usize]).collect();
            let (a, b) = (seeds(reference.len(), random), seeds(value.len(), random));
            let of =
                |a: &[usize], b: &[usize]| means(subjects.iter().filter_map(|&subject| both(subject, a, b)));
            let (drawn, all) = (of(&a, &b)?, of(&reference_seeds, &value_seeds)?);
            let a = enlarged(drawn.0, all.0, reference.len()).clamp(0.0, most);
            Some((a, enlarged(drawn.1, all.1, value.len()).clamp(0.0, most)))
        })
        .into_iter()
        .flatten()
        .collect();
    // A ratio that some resamples do not have has no interval: one of the others would look narrower than it is.
    let interval = |mean: f64, of: fn(&(f64, f64)) -> f64| {
        let values: Vec<f64> = drawn.iter().map(of).collect();
        let usable = !values.is_empty() && values.iter().all(|value| value.is_finite());
        if usable { bootstrap.interval(mean, values, n) } else { alone(Some(mean)) }
    };
    row.reference = interval(first, |(a, _)| *a);
    row.value = interval(second, |(_, b)| *b);
    row.difference = interval(second - first, |(a, b)| b - a);
    row.ratio = ratio.map_or_else(|| alone(None), |ratio| interval(ratio, |(a, b)| b / a));
    Ok(row)
}

/// Seeds drawn with replacement; one seed is always that one.
fn seeds(count: usize, random: &mut Rng) -> Vec<usize> {
    if count == 1 {
        return vec![0];
    }
    (0..count).map(|_| random.below(count as u64) as usize).collect()
}

/// What drawing among `seeds` seeds changes, at the variance that seeds really have.
fn enlarged(drawn: f64, all: f64, seeds: usize) -> f64 {
    if seeds == 1 {
        return drawn;
    }
    all + (drawn - all) * (seeds as f64 / (seeds as f64 - 1.0)).sqrt()
}

/// Means of both halves of the pairs, if there are any.
fn means(pairs: impl Iterator<Item = (f64, f64)>) -> Option<(f64, f64)> {
    let (first, second): (Vec<f64>, Vec<f64>) = pairs.unzip();
    Some((mean(first.into_iter())?, mean(second.into_iter())?))
}

/// Holm's correction over classes and means; regions are unions of classes.
fn correct(rows: &mut [ComparisonRow]) {
    let mut tested: Vec<&mut ComparisonRow> =
        rows.iter_mut().filter(|row| row.scored != Scored::Region && row.p_value.is_some()).collect();
    let p_values: Vec<f64> = tested.iter().filter_map(|row| row.p_value).collect();
    for (row, corrected) in zip(&mut tested, holm(&p_values)) {
        row.p_holm = Some(corrected);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use synthmr_core::Digest;

    use super::*;

    /// Subjects whose only class has these values of Dice.
    fn results(dice: &[Option<f64>]) -> Vec<SubjectResult> {
        let one = |(index, dice): (usize, &Option<f64>)| SubjectResult {
            subject: Digest::of(&[index as u8]),
            slices: 1,
            diagonal_mm: 1.0,
            classes: BTreeMap::from([(
                "ET".to_owned(),
                MetricValues { dice: *dice, ..MetricValues::default() },
            )]),
            regions: BTreeMap::new(),
        };
        dice.iter().enumerate().map(one).collect()
    }

    fn compared(reference: &[Vec<SubjectResult>], other: &[Vec<SubjectResult>]) -> Vec<ComparisonRow> {
        let reference = Condition { name: "real", seeds: reference.iter().map(Vec::as_slice).collect() };
        let other = Condition { name: "synthetic", seeds: other.iter().map(Vec::as_slice).collect() };
        compare(&reference, &[other], "dice", &bootstrap()).unwrap()
    }

    fn bootstrap() -> Bootstrap {
        Bootstrap::new(2000, 1, 0.9).unwrap()
    }

    const REAL: [Option<f64>; 6] = [Some(0.9), Some(0.8), None, Some(0.95), Some(0.7), Some(0.6)];
    const SYNTHETIC: [Option<f64>; 6] = [Some(0.8), Some(0.85), Some(0.5), Some(0.75), None, Some(0.3)];

    #[test]
    fn one_seed_is_a_paired_comparison() {
        let rows = compared(&[results(&REAL)], &[results(&SYNTHETIC)]);
        let differences = [0.8 - 0.9, 0.85 - 0.8, 0.75 - 0.95, 0.3 - 0.6];
        let (mean, test) =
            (bootstrap().mean(&differences).unwrap(), wilcoxon(&differences).unwrap().unwrap());
        assert_eq!(rows.len(), 2, "the class and the mean of classes");
        for row in &rows {
            // The order of sums differs.
            let near = |a: Option<f64>, b: Option<f64>| assert!((a.unwrap() - b.unwrap()).abs() < 1e-12);
            near(row.difference.mean, mean.mean);
            near(row.difference.low, mean.low);
            near(row.difference.high, mean.high);
            assert_eq!((row.difference.n, row.p_value), (4, Some(test.p_value)));
            let ratio = (0.8 + 0.85 + 0.75 + 0.3) / (0.9 + 0.8 + 0.95 + 0.6);
            near(row.ratio.mean, Some(ratio));
            assert!(row.ratio.low.unwrap() < ratio && ratio < row.ratio.high.unwrap());
        }
        assert_eq!(rows[0].p_holm, Some(rows[0].p_value.unwrap() * 2.0), "two tests");
    }

    #[test]
    fn seeds_widen_the_interval_and_do_not_count_as_subjects() {
        let shifted = |by: f64| results(&REAL.map(|dice| dice.map(|dice| dice - by)));
        let one = compared(&[results(&REAL)], &[shifted(0.2)]);
        let three = compared(&[results(&REAL)], &[shifted(0.0), shifted(0.2), shifted(0.4)]);
        let width = |row: &ComparisonRow| row.difference.high.unwrap() - row.difference.low.unwrap();
        assert!((three[0].difference.mean.unwrap() + 0.2).abs() < 1e-12);
        assert!(width(&one[0]) < 1e-12, "every subject differs by the same");
        assert!(width(&three[0]) > 0.2);
        assert_eq!((three[0].difference.n, three[0].p_value), (5, one[0].p_value));
    }

    #[test]
    fn seeds_far_apart_give_no_impossible_values() {
        let constant = |dice: f64| results(&[Some(dice); 6]);
        let [low, high] = [0.02, 0.99].map(|dice| [constant(dice), constant((dice + 0.1).min(1.0))]);
        let rows = compared(&low, &high);
        for interval in [rows[0].reference, rows[0].value] {
            assert!(interval.low.unwrap() >= 0.0 && interval.high.unwrap() <= 1.0, "{interval:?}");
        }
        // A reference that may be nothing gives no interval of the ratio.
        assert!(rows[0].ratio.mean.is_some() && rows[0].ratio.low.is_none(), "{:?}", rows[0].ratio);
    }

    #[test]
    fn other_subjects_are_refused() {
        let (five, six) = (results(&REAL[..5]), results(&REAL));
        let reference = Condition { name: "real", seeds: vec![&six] };
        let other = Condition { name: "synthetic", seeds: vec![&six, &five] };
        let error = compare(&reference, std::slice::from_ref(&other), "dice", &bootstrap()).unwrap_err();
        assert_eq!(error, MetricsError::Subjects { condition: "synthetic".into(), seed: 2 });
        let nothing = Condition { seeds: vec![&six], ..other };
        assert!(compare(&reference, &[nothing], "dise", &bootstrap()).is_err());
    }

    #[test]
    fn a_reference_of_zero_has_no_ratio() {
        let rows = compared(&[results(&[Some(0.0), Some(0.0)])], &[results(&[Some(0.5), Some(0.6)])]);
        assert_eq!((rows[0].ratio.mean, rows[0].ratio.low), (None, None));
        assert!(rows[0].difference.low.unwrap() >= 0.5);
        let rows = compared(&[results(&REAL)], &[results(&REAL)]);
        assert_eq!((rows[0].p_value, rows[0].p_holm), (Some(1.0), Some(1.0)), "nothing differs");
    }
}

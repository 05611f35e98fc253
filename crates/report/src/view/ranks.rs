//! How every number of realism orders the synthetic sets, beside how the Dice of networks trained on them does.

use std::cmp::Ordering;

use synthmr_core::Digest;
use synthmr_core::records::{RealismRecord, RealismResult};

use super::realism::{is_shown, network};
use super::training::source;
use crate::format;
use crate::inputs::{RealismInput, ReportInputs};

/// Fewest sets whose ranks are compared.
const FEWEST_RANKED: usize = 4;

/// Numbers of single contrasts and classes that stand beside the main ones: those that follow Dice most.
const STRONGEST: usize = 5;

/// How one number orders the sets beside how Dice orders them.
#[derive(Clone, Debug)]
pub(crate) struct RankRow {
    pub(crate) metric: String,
    /// What sets it apart from the other rows, such as fewer sets; mostly nothing.
    pub(crate) note: String,
    pub(crate) correlation: String,
}

/// The ranks of all numbers.
#[derive(Clone, Debug)]
pub(crate) struct RanksView {
    /// The numbers that are shown of every set and the strongest of the others, strongest first.
    pub(crate) main: Vec<RankRow>,
    /// All others, in the same order.
    pub(crate) rest: Vec<RankRow>,
    /// Conditions with an evaluation and a measurement: `6 synthetic sets`.
    pub(crate) sets: String,
    /// Which numbers have no rank, and why; nothing where all have one.
    pub(crate) unranked: String,
}

/// A measurement with the Dice of the condition that it belongs to.
struct Pair<'a> {
    condition: &'a str,
    realism: &'a RealismInput,
    dice: f64,
}

/// What values must share to be ranked together. Numbers of pixels and annotations depend on no network, so they are the
/// same in each record of one set.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key<'a> {
    metric: &'a str,
    channel: &'a str,
    features: &'a str,
    network: Option<&'a Digest>,
    real: (&'a Digest, &'a str),
}

impl<'a> Key<'a> {
    fn new(record: &'a RealismRecord, result: &'a RealismResult) -> Self {
        Self {
            metric: &result.metric,
            channel: &result.channel,
            features: &result.features,
            network: of_network(record, result).then_some(&record.features.digest),
            real: (&record.real.digest, &record.real.split),
        }
    }
}

fn of_network(record: &RealismRecord, result: &RealismResult) -> bool {
    result.features == record.features.name
}

/// One number with its values over the sets, a value a condition.
struct Ranked<'a> {
    key: Key<'a>,
    /// What was compared, as a reader tells it from others.
    features: String,
    is_shown: bool,
    values: Vec<(&'a str, f64, f64)>,
}

impl Ranked<'_> {
    fn correlation(&self) -> Option<f64> {
        let column = |of: fn(&(&str, f64, f64)) -> f64| self.values.iter().map(of).collect::<Vec<_>>();
        spearman(&column(|value| value.1), &column(|value| value.2))
    }

    fn row(&self, correlation: Option<f64>, sets: usize) -> RankRow {
        let mut notes = Vec::new();
        if self.values.len() < sets {
            notes.push(format!("over {} of {sets} sets", self.values.len()));
        }
        if correlation.is_none() {
            notes.push("nothing to order, all are equal".to_owned());
        }
        RankRow {
            metric: format!(
                "{} ({}, {})",
                self.key.metric.replace('_', " "),
                self.features,
                self.key.channel
            ),
            note: notes.join("; "),
            correlation: correlation.map_or_else(|| format::NONE.to_owned(), |r| format!("{r:+.2}")),
        }
    }
}

impl RanksView {
    /// Nothing where no measurement belongs to an evaluation with a Dice.
    pub(crate) fn new(inputs: &ReportInputs) -> Option<Self> {
        let pairs: Vec<Pair<'_>> =
            inputs.realism.iter().filter_map(|realism| pair(inputs, realism)).collect();
        let mut conditions: Vec<&str> = pairs.iter().map(|pair| pair.condition).collect();
        conditions.sort_unstable();
        conditions.dedup();
        let sets = conditions.len();
        if sets == 0 {
            return None;
        }
        let (ranked, unranked): (Vec<_>, Vec<_>) =
            numbers(inputs, &pairs).into_iter().partition(|number| number.values.len() >= FEWEST_RANKED);
        let mut rows: Vec<(Option<f64>, Ranked<'_>)> =
            ranked.into_iter().map(|number| (number.correlation(), number)).collect();
        rows.sort_by(|(a, _), (b, _)| strongest_first(*a, *b));
        let (mut main, mut rest, mut others) = (Vec::new(), Vec::new(), 0);
        for (correlation, number) in rows {
            let row = number.row(correlation, sets);
            let is_strong = !number.is_shown && correlation.is_some() && others < STRONGEST;
            others += usize::from(is_strong);
            if number.is_shown || is_strong { main.push(row) } else { rest.push(row) }
        }
        let unranked = if sets < FEWEST_RANKED {
            format!(
                "Ranks beside Dice need {FEWEST_RANKED} synthetic sets with an evaluation; this report has {}.",
                format::counted(sets, "such set")
            )
        } else {
            missing(&unranked)
        };
        Some(Self { main, rest, sets: format::counted(sets, "synthetic set"), unranked })
    }
}

fn pair<'a>(inputs: &'a ReportInputs, realism: &'a RealismInput) -> Option<Pair<'a>> {
    let condition = realism.name.as_deref()?;
    let evaluation = inputs.evaluations.iter().find(|evaluation| evaluation.condition == condition)?;
    Some(Pair { condition, realism, dice: evaluation.record.mean.dice.mean? })
}

/// Every number of every record, in their order. A condition that has several records with one number counts once.
fn numbers<'a>(inputs: &ReportInputs, pairs: &[Pair<'a>]) -> Vec<Ranked<'a>> {
    let mut numbers: Vec<Ranked<'_>> = Vec::new();
    for Pair { condition, realism, dice } in pairs {
        let record = &realism.record;
        for result in &record.results {
            let key = Key::new(record, result);
            let index = numbers.iter().position(|number| number.key == key).unwrap_or_else(|| {
                let is_shown = is_shown(record, result);
                numbers.push(Ranked {
                    key,
                    features: features(inputs, record, result),
                    is_shown,
                    values: vec![],
                });
                numbers.len() - 1
            });
            let values = &mut numbers[index].values;
            let is_new = values.iter().all(|(known, ..)| known != condition);
            if let Some(value) = result.value.filter(|value| is_new && value.is_finite()) {
                values.push((condition, value, *dice));
            }
        }
    }
    numbers
}

/// What was compared, with the real images where the records are of several parts of the cohort.
fn features(inputs: &ReportInputs, record: &RealismRecord, result: &RealismResult) -> String {
    let is_network = of_network(record, result);
    let features = if is_network { network(inputs, record) } else { result.features.clone() };
    if inputs.realism.iter().all(|other| other.record.real.split == record.real.split) {
        features
    } else {
        format!("{features} beside {}", source(&record.real))
    }
}

/// Which numbers too few sets have, by what was compared.
fn missing(unranked: &[Ranked<'_>]) -> String {
    let mut counts: Vec<(&str, usize)> = Vec::new();
    for number in unranked {
        match counts.iter_mut().find(|(features, _)| *features == number.features) {
            Some((_, count)) => *count += 1,
            None => counts.push((&number.features, 1)),
        }
    }
    if counts.is_empty() {
        return String::new();
    }
    let counts: Vec<String> = counts
        .iter()
        .map(|(features, count)| format!("{} of {features}", format::counted(*count, "number")))
        .collect();
    format!("Not ranked, because fewer than {FEWEST_RANKED} sets have a value: {}.", counts.join(", "))
}

fn strongest_first(a: Option<f64>, b: Option<f64>) -> Ordering {
    // Numbers without a correlation come after those whose correlation is zero.
    let strength = |correlation: Option<f64>| correlation.map_or(-1.0, f64::abs);
    strength(b).total_cmp(&strength(a))
}

/// Spearman's rank correlation: Pearson's of the ranks, equal values sharing theirs. None where all are equal.
fn spearman(a: &[f64], b: &[f64]) -> Option<f64> {
    let (a, b) = (mean_ranks(a), mean_ranks(b));
    let centre = (a.len() as f64 - 1.0) / 2.0;
    let product =
        |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| (a - centre) * (b - centre)).sum::<f64>();
    let scale = (product(&a, &a) * product(&b, &b)).sqrt();
    (scale > 0.0).then(|| product(&a, &b) / scale)
}

fn mean_ranks(values: &[f64]) -> Vec<f64> {
    let rank = |value: &f64| {
        let below = values.iter().filter(|other| *other < value).count() as f64;
        let equal = values.iter().filter(|other| *other == value).count() as f64;
        below + (equal - 1.0) / 2.0
    };
    values.iter().map(rank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_correlate_as_scipy_says() {
        assert_eq!(spearman(&[1.0, 2.0, 9.0], &[5.0, 6.0, 7.0]), Some(1.0));
        // scipy.stats.spearmanr([1, 2, 2, 4, 3], [2, 1, 4, 4, 5]) = 0.6052631578947370.
        let found = spearman(&[1.0, 2.0, 2.0, 4.0, 3.0], &[2.0, 1.0, 4.0, 4.0, 5.0]).unwrap();
        assert!((found - 0.605_263_157_894_737).abs() < 1e-12, "{found}");
        assert_eq!(spearman(&[1.0, 1.0], &[1.0, 2.0]), None);
    }
}

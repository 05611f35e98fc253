//! How close synthetic sets are to the real one: the main numbers of each record, and how metrics rank beside Dice.

use synthmr_core::records::{Better, RealismRecord, RealismResult};

use super::training::source;
use crate::format;
use crate::inputs::{RealismInput, ReportInputs};

/// Shown of every record: the numbers of all contrasts together, and of the annotation. The rest is in the record.
const CHANNELS: [&str; 3] = ["joint", "mean", "all"];

/// Fewest sets whose ranks are compared.
const FEWEST_RANKED: usize = 4;

/// One number.
#[derive(Clone, Debug)]
pub(crate) struct RealismRow {
    pub(crate) metric: String,
    pub(crate) of: String,
    pub(crate) value: String,
    pub(crate) range: String,
    pub(crate) better: &'static str,
    pub(crate) matched: String,
    pub(crate) floor: String,
    /// Whether the value at the floor's sizes lies in the floor's range.
    pub(crate) is_at_floor: bool,
}

/// One record.
#[derive(Clone, Debug)]
pub(crate) struct RealismSetView {
    pub(crate) name: String,
    pub(crate) sets: String,
    pub(crate) protocol: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) rows: Vec<RealismRow>,
    pub(crate) rules: String,
}

/// How one metric orders the sets beside how Dice orders them.
#[derive(Clone, Debug)]
pub(crate) struct RankRow {
    pub(crate) metric: String,
    pub(crate) correlation: String,
}

/// The section.
#[derive(Clone, Debug)]
pub(crate) struct RealismView {
    pub(crate) sets: Vec<RealismSetView>,
    pub(crate) ranks: Vec<RankRow>,
    pub(crate) ranked: usize,
}

impl RealismView {
    /// Nothing without a record.
    pub(crate) fn new(inputs: &ReportInputs) -> Option<Self> {
        if inputs.realism.is_empty() {
            return None;
        }
        let pairs: Vec<(&RealismRecord, f64)> = inputs
            .realism
            .iter()
            .filter_map(|realism| {
                let evaluation =
                    inputs.evaluations.iter().find(|e| Some(&e.condition) == realism.name.as_ref())?;
                Some((&realism.record, evaluation.record.mean.dice.mean?))
            })
            .collect();
        let ranks = if pairs.len() < FEWEST_RANKED { Vec::new() } else { ranks(&pairs) };
        Some(Self { sets: inputs.realism.iter().map(set).collect(), ranks, ranked: pairs.len() })
    }
}

fn set(realism: &RealismInput) -> RealismSetView {
    let record = &realism.record;
    let rows = record.results.iter().filter(|result| is_shown(record, result)).map(row).collect();
    RealismSetView {
        name: realism.name.clone().unwrap_or_else(|| record.synthetic.name.clone()),
        sets: format!(
            "{} of {} beside {} of {}; features: {} ({})",
            format::counted(record.synthetic.images, "synthetic image"),
            source(&record.synthetic),
            format::counted(record.real.images, "real image"),
            source(&record.real),
            record.features.name,
            format::counted(record.features.dims, "number"),
        ),
        protocol: record.features.protocol.clone(),
        warnings: record.warnings.clone(),
        rows,
        rules: format!(
            "Brackets hold {} intervals from {} draws. Intervals: {}. Floor: {}.",
            format::percent(record.settings.level),
            format::count(record.settings.draws),
            record.settings.interval_rule,
            record.settings.floor_rule
        ),
    }
}

fn is_shown(record: &RealismRecord, result: &RealismResult) -> bool {
    let only_one = record.channels.len() == 1 && result.channel == record.channels[0];
    CHANNELS.contains(&result.channel.as_str()) || only_one || result.metric == "annotation_area"
}

fn row(result: &RealismResult) -> RealismRow {
    let number = |value: Option<f64>| value.map_or_else(|| format::NONE.to_owned(), format::measured);
    let range = |low: Option<f64>, high: Option<f64>| match (low, high) {
        (Some(low), Some(high)) => format!("[{}, {}]", format::measured(low), format::measured(high)),
        _ => String::new(),
    };
    let is_at_floor = match (result.matched, result.floor_low, result.floor_high, result.better) {
        (Some(matched), _, Some(high), Better::Lower) => matched <= high,
        (Some(matched), Some(low), _, Better::Higher) => matched >= low,
        (Some(matched), Some(low), Some(high), Better::Floor) => (low..=high).contains(&matched),
        _ => false,
    };
    let floor_range = range(result.floor_low, result.floor_high);
    RealismRow {
        metric: result.metric.replace('_', " "),
        of: format!("{}, {}", result.features, result.channel),
        value: number(result.value),
        range: range(result.low, result.high),
        better: match result.better {
            Better::Lower => "lower is nearer",
            Better::Higher => "higher is nearer",
            Better::Floor => "as the floor",
        },
        matched: number(result.matched),
        floor: format!("{} {floor_range}", number(result.floor)).trim_end().to_owned(),
        is_at_floor,
    }
}

/// Rank correlation with Dice of every metric that all records have with one kind of features, strongest first.
fn ranks(pairs: &[(&RealismRecord, f64)]) -> Vec<RankRow> {
    let dice: Vec<f64> = pairs.iter().map(|(_, dice)| *dice).collect();
    let Some((first, _)) = pairs.first() else { return Vec::new() };
    let mut rows: Vec<(f64, RankRow)> = Vec::new();
    for result in first.results.iter().filter(|result| is_shown(first, result)) {
        let same = |other: &&RealismResult| {
            (&other.metric, &other.channel, &other.features)
                == (&result.metric, &result.channel, &result.features)
        };
        let of_record = |(record, _): &(&RealismRecord, f64)| record.results.iter().find(same)?.value;
        let Some(values) = pairs.iter().map(of_record).collect::<Option<Vec<f64>>>() else { continue };
        let Some(correlation) = spearman(&values, &dice) else { continue };
        let metric = format!("{} ({}, {})", result.metric.replace('_', " "), result.features, result.channel);
        rows.push((correlation, RankRow { metric, correlation: format!("{correlation:+.2}") }));
    }
    rows.sort_by(|a, b| b.0.abs().total_cmp(&a.0.abs()));
    rows.into_iter().map(|(_, row)| row).collect()
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

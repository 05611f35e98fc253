//! Conditions beside a reference, subject by subject, with tests.

use synthmr_core::records::{ComparisonRow, Interval, Scored};

use super::training::source;
use crate::format;
use crate::inputs::ComparisonInput;

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct ComparedRow {
    /// The condition, where it begins.
    pub(crate) condition: Option<String>,
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) n: String,
    pub(crate) value: String,
    pub(crate) difference: String,
    pub(crate) ratio: String,
    pub(crate) p_value: String,
    pub(crate) p_holm: String,
}

/// One comparison.
#[derive(Clone, Debug)]
pub(crate) struct ComparisonView {
    pub(crate) metric: String,
    pub(crate) reference: String,
    pub(crate) seeds: String,
    pub(crate) tested_on: String,
    pub(crate) note: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) rows: Vec<ComparedRow>,
}

impl ComparisonView {
    pub(crate) fn new(input: &ComparisonInput) -> Self {
        let record = &input.record;
        let begins = |i: usize| i == 0 || record.rows[i - 1].condition != record.rows[i].condition;
        let conditions = std::iter::once(&record.reference).chain(&record.conditions);
        let seeds: Vec<String> = conditions
            .map(|condition| {
                format!("{}: {}", condition.name, format::counted(condition.models.len(), "seed"))
            })
            .collect();
        let tested_on: Vec<String> = record.data.iter().map(source).collect();
        Self {
            metric: record.metric.clone(),
            reference: record.reference.name.clone(),
            seeds: seeds.join(", "),
            tested_on: tested_on.join(", "),
            note: format!(
                "Brackets hold {} intervals: {} of the subjects and of the seeds, seed {}. P values are of \
                 Wilcoxon's signed-rank test over subjects, corrected by Holm's method over classes and means.",
                format::percent(record.settings.level),
                format::counted(record.settings.resamples, "bootstrap resample"),
                record.settings.seed
            ),
            warnings: record.warnings.clone(),
            rows: record.rows.iter().enumerate().map(|(i, row)| compared(row, begins(i))).collect(),
        }
    }
}

fn compared(row: &ComparisonRow, begins: bool) -> ComparedRow {
    let p = |p: Option<f64>| match p {
        Some(p) if p < 0.001 => "below 0.001".to_owned(),
        p => format::fixed(p, 3),
    };
    ComparedRow {
        condition: begins.then(|| row.condition.clone()),
        name: row.name.clone(),
        kind: match row.scored {
            Scored::Class => "class",
            Scored::Region => "region",
            Scored::Mean => "over classes",
        },
        n: format::count(row.difference.n),
        value: format::interval(&row.value, 3),
        difference: signed(&row.difference),
        ratio: shares(&row.ratio),
        p_value: p(row.p_value),
        p_holm: p(row.p_holm),
    }
}

/// `-0.051 [-0.072 to -0.030]`: a hyphen between numbers that may be negative would be misread.
fn signed(value: &Interval) -> String {
    let mean = value.mean.map_or_else(|| format::NONE.to_owned(), |mean| format!("{mean:+.3}"));
    match (value.low, value.high) {
        (Some(low), Some(high)) => format!("{mean} [{low:+.3} to {high:+.3}]"),
        _ => mean,
    }
}

/// `93 % [89 % to 97 %]`.
fn shares(ratio: &Interval) -> String {
    let mean = ratio.mean.map_or_else(|| format::NONE.to_owned(), format::percent);
    match (ratio.low, ratio.high) {
        (Some(low), Some(high)) => format!("{mean} [{} to {}]", format::percent(low), format::percent(high)),
        _ => mean,
    }
}

//! How close synthetic sets are to the real one: the main numbers of each record.

use synthmr_core::records::{Better, RealismRecord, RealismResult};

use super::ranks::RanksView;
use super::training::source;
use crate::format;
use crate::inputs::{RealismInput, ReportInputs};

/// Shown of every record: the numbers of all contrasts together, and of the annotation.
const CHANNELS: [&str; 3] = ["joint", "mean", "all"];

/// Shown of every contrast or class, because there is none of all together. The rest is in the record.
const METRICS: [&str; 2] = ["annotation_area", INCEPTION_SCORE];

/// Its rows come last, or those of the contrasts would stand before the numbers of all contrasts.
const INCEPTION_SCORE: &str = "inception_score";

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
    pub(crate) caption: &'static str,
    pub(crate) protocol: String,
    pub(crate) warnings: Vec<String>,
    pub(crate) rows: Vec<RealismRow>,
    pub(crate) rules: String,
}

/// The section.
#[derive(Clone, Debug)]
pub(crate) struct RealismView {
    pub(crate) sets: Vec<RealismSetView>,
    pub(crate) ranks: Option<RanksView>,
}

impl RealismView {
    /// Nothing without a record.
    pub(crate) fn new(inputs: &ReportInputs) -> Option<Self> {
        if inputs.realism.is_empty() {
            return None;
        }
        let sets = inputs.realism.iter().map(|realism| set(inputs, realism)).collect();
        Some(Self { sets, ranks: RanksView::new(inputs) })
    }
}

fn set(inputs: &ReportInputs, realism: &RealismInput) -> RealismSetView {
    let record = &realism.record;
    let mut shown: Vec<&RealismResult> =
        record.results.iter().filter(|result| is_shown(record, result)).collect();
    shown.sort_by_key(|result| result.metric == INCEPTION_SCORE);
    let has_score = shown.last().is_some_and(|result| result.metric == INCEPTION_SCORE);
    RealismSetView {
        name: realism.name.clone().unwrap_or_else(|| record.synthetic.name.clone()),
        sets: format!(
            "{} of {} beside {} of {}; features: {} ({})",
            format::counted(record.synthetic.images, "synthetic image"),
            source(&record.synthetic),
            format::counted(record.real.images, "real image"),
            source(&record.real),
            network(inputs, record),
            format::counted(record.features.dims, "number"),
        ),
        caption: if has_score {
            "All contrasts together, the annotation, and the Inception Score of each contrast"
        } else {
            "All contrasts together, and the annotation"
        },
        protocol: record.features.protocol.clone(),
        warnings: record.warnings.clone(),
        rows: shown.into_iter().map(row).collect(),
        rules: format!(
            "Brackets hold {} intervals from {}. Intervals: {}. Floor: {}.",
            format::percent(record.settings.level),
            format::counted(record.settings.draws, "draw"),
            record.settings.interval_rule,
            record.settings.floor_rule
        ),
    }
}

/// Whether a number stands on the page, and not in the record alone.
pub(super) fn is_shown(record: &RealismRecord, result: &RealismResult) -> bool {
    let only_one = record.channels.len() == 1 && result.channel == record.channels[0];
    CHANNELS.contains(&result.channel.as_str()) || only_one || METRICS.contains(&result.metric.as_str())
}

/// Name of a record's network, with its digest where another record has another network of that name: two runs of a
/// segmenter are two networks.
pub(super) fn network(inputs: &ReportInputs, record: &RealismRecord) -> String {
    let ours = &record.features;
    let is_another = |other: &RealismInput| {
        other.record.features.name == ours.name && other.record.features.digest != ours.digest
    };
    if inputs.realism.iter().any(is_another) {
        format!("{} {}", ours.name, ours.digest.short())
    } else {
        ours.name.clone()
    }
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

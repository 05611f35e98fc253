//! Real-trained, synthetic-trained and both, side by side.

use synthmr_core::records::{EvaluationRecord, Interval, MetricSummary};

use super::DotFigure;
use super::compare;
use super::training::{source, sources};
use crate::conditions;
use crate::figures::Estimate;
use crate::format;
use crate::inputs::{EvaluationInput, ReportInputs};

/// A row of every table: a class, a region or the mean.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RowKey {
    Class(String),
    Region(String),
    Mean,
}

impl RowKey {
    fn name(&self) -> String {
        match self {
            Self::Class(name) | Self::Region(name) => name.clone(),
            Self::Mean => "mean".to_owned(),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Class(_) => "class",
            Self::Region(_) => "region",
            Self::Mean => "over classes",
        }
    }

    fn of<'a>(&self, record: &'a EvaluationRecord) -> Option<&'a MetricSummary> {
        match self {
            Self::Class(name) => record.classes.get(name),
            Self::Region(name) => record.regions.get(name),
            Self::Mean => Some(&record.mean),
        }
    }
}

/// One value of a table.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) value: String,
    pub(crate) range: String,
    /// Share of the real-trained value.
    pub(crate) ratio: Option<String>,
}

/// A row of a table.
#[derive(Clone, Debug)]
pub(crate) struct ResultRow {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// The first row of its kind, which the table sets apart.
    pub(crate) begins: bool,
    pub(crate) cells: Vec<Cell>,
}

/// One metric over rows and conditions.
#[derive(Clone, Debug)]
pub(crate) struct MetricTable {
    pub(crate) title: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) rows: Vec<ResultRow>,
}

/// How many subjects had a value, and how often a mask was empty.
#[derive(Clone, Debug)]
pub(crate) struct CountRow {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    pub(crate) condition: String,
    pub(crate) begins: bool,
    pub(crate) with_dice: String,
    pub(crate) with_distance: String,
    pub(crate) both: String,
    pub(crate) invented: String,
    pub(crate) missed: String,
}

/// A condition with what it learnt from.
#[derive(Clone, Debug)]
pub(crate) struct ConditionView {
    pub(crate) name: String,
    pub(crate) trained_on: String,
    pub(crate) tested_on: String,
}

/// The results.
#[derive(Clone, Debug)]
pub(crate) struct ResultsView {
    pub(crate) conditions: Vec<ConditionView>,
    pub(crate) missing: Vec<&'static str>,
    pub(crate) warnings: Vec<String>,
    pub(crate) interval_note: String,
    pub(crate) figure: DotFigure,
    pub(crate) tables: Vec<MetricTable>,
    pub(crate) counts: Vec<CountRow>,
}

/// A metric that the page shows.
struct Metric {
    title: &'static str,
    unit: &'static str,
    decimals: usize,
    /// Whether larger is better from zero up, so that a share of the real-trained value says something.
    has_ratio: bool,
    of: fn(&MetricSummary) -> &Interval,
}

/// Shown in pairs beside each other; Dice stands first, beside its figure.
const METRICS: [Metric; 6] = [
    Metric {
        title: "Dice",
        unit: "0 is no overlap, 1 is the same",
        decimals: 3,
        has_ratio: true,
        of: |m| &m.dice,
    },
    Metric {
        title: "Lesion-wise Dice",
        unit: "mean over lesions found, missed and invented",
        decimals: 3,
        has_ratio: true,
        of: |m| &m.lesion_dice,
    },
    Metric {
        title: "HD95",
        unit: "millimetres, smaller is better",
        decimals: 1,
        has_ratio: false,
        of: |m| &m.hd95,
    },
    Metric {
        title: "Average surface distance",
        unit: "millimetres, smaller is better",
        decimals: 2,
        has_ratio: false,
        of: |m| &m.assd,
    },
    Metric {
        title: "Precision",
        unit: "share of what was marked that is right",
        decimals: 3,
        has_ratio: false,
        of: |m| &m.precision,
    },
    Metric {
        title: "Recall",
        unit: "share of what is there that was marked",
        decimals: 3,
        has_ratio: false,
        of: |m| &m.recall,
    },
];

impl ResultsView {
    /// Nothing without an evaluation.
    pub(crate) fn new(inputs: &ReportInputs) -> Option<Self> {
        let evaluations = compare::ordered(inputs);
        let settings = &evaluations.first()?.record.settings;
        let rows = row_keys(inputs, &evaluations);
        let real = compare::find(inputs, conditions::REAL);
        Some(Self {
            conditions: evaluations
                .iter()
                .map(|evaluation| ConditionView {
                    name: evaluation.condition.clone(),
                    trained_on: sources(&evaluation.record.trained_on),
                    tested_on: source(&evaluation.record.data),
                })
                .collect(),
            missing: compare::MAIN.into_iter().filter(|name| compare::find(inputs, name).is_none()).collect(),
            warnings: compare::warnings(&evaluations),
            interval_note: format!(
                "Brackets hold the {} interval of the mean: {} of the subjects, seed {}.",
                format::percent(settings.level),
                format::counted(settings.resamples, "bootstrap resample"),
                settings.seed
            ),
            figure: figure(&rows, &evaluations),
            tables: METRICS.iter().map(|metric| table(metric, &rows, &evaluations, real)).collect(),
            counts: counts(&rows, &evaluations),
        })
    }
}

/// Classes and regions in the order of the label scheme, those that only an evaluation knows after them.
fn row_keys(inputs: &ReportInputs, evaluations: &[&EvaluationInput]) -> Vec<RowKey> {
    let mut keys = Vec::new();
    let mut add = |key: RowKey| {
        let known = evaluations.iter().any(|evaluation| key.of(&evaluation.record).is_some());
        if known && !keys.contains(&key) {
            keys.push(key);
        }
    };
    let scheme = inputs.real.as_ref().or(inputs.synthetic.as_ref()).map(|store| &store.manifest.labels);
    scheme.into_iter().flat_map(|s| &s.classes).for_each(|class| add(RowKey::Class(class.name.clone())));
    for evaluation in evaluations {
        evaluation.record.classes.keys().for_each(|name| add(RowKey::Class(name.clone())));
    }
    scheme.into_iter().flat_map(|s| &s.regions).for_each(|region| add(RowKey::Region(region.name.clone())));
    for evaluation in evaluations {
        evaluation.record.regions.keys().for_each(|name| add(RowKey::Region(name.clone())));
    }
    add(RowKey::Mean);
    keys
}

fn begins(rows: &[RowKey], index: usize) -> bool {
    index > 0 && rows[index - 1].kind() != rows[index].kind()
}

fn table(
    metric: &Metric,
    rows: &[RowKey],
    evaluations: &[&EvaluationInput],
    real: Option<&EvaluationRecord>,
) -> MetricTable {
    let cell = |row: &RowKey, evaluation: &EvaluationInput| {
        let Some(summary) = row.of(&evaluation.record) else {
            return Cell { value: format::NONE.to_owned(), range: String::new(), ratio: None };
        };
        let value = (metric.of)(summary);
        let comparable = real.filter(|real| {
            metric.has_ratio
                && evaluation.condition != conditions::REAL
                && compare::same_test(real, &evaluation.record)
        });
        let base = comparable.and_then(|real| (metric.of)(row.of(real)?).mean);
        Cell {
            value: format::fixed(value.mean, metric.decimals),
            range: format::range(value, metric.decimals),
            ratio: compare::ratio(value.mean, base).map(format::percent),
        }
    };
    let rows = rows.iter().enumerate().map(|(index, row)| ResultRow {
        name: row.name(),
        kind: row.kind(),
        begins: begins(rows, index),
        cells: evaluations.iter().map(|evaluation| cell(row, evaluation)).collect(),
    });
    MetricTable { title: metric.title, unit: metric.unit, rows: rows.collect() }
}

fn figure(rows: &[RowKey], evaluations: &[&EvaluationInput]) -> DotFigure {
    let label = |row: &RowKey| match row {
        RowKey::Class(name) => name.clone(),
        RowKey::Region(name) => format!("{name} region"),
        RowKey::Mean => "mean".to_owned(),
    };
    let names: Vec<String> = rows.iter().map(label).collect();
    let conditions = evaluations.iter().enumerate().map(|(index, evaluation)| {
        (compare::style(index, &evaluation.condition), format!("trained on {}", evaluation.condition))
    });
    let mut estimates = Vec::new();
    for (row, key) in rows.iter().enumerate() {
        for (condition, evaluation) in evaluations.iter().enumerate() {
            let what = format!("{}, trained on {}", names[row], evaluation.condition);
            let value = key.of(&evaluation.record).map(|summary| &summary.dice);
            estimates.extend(value.and_then(|value| Estimate::new(row, condition, &what, value)));
        }
    }
    DotFigure::new("Dice with intervals", &names, conditions.collect(), &estimates)
}

fn counts(rows: &[RowKey], evaluations: &[&EvaluationInput]) -> Vec<CountRow> {
    let mut counts = Vec::new();
    for row in rows {
        for (index, evaluation) in evaluations.iter().enumerate() {
            let Some(summary) = row.of(&evaluation.record) else { continue };
            // The mean over classes has no mask of its own, so none that could be empty.
            let empty =
                |n: usize| if *row == RowKey::Mean { format::NONE.to_owned() } else { format::count(n) };
            counts.push(CountRow {
                name: row.name(),
                kind: row.kind(),
                condition: evaluation.condition.clone(),
                begins: index == 0,
                with_dice: format::count(summary.dice.n),
                with_distance: format::count(summary.hd95.n),
                both: empty(summary.empty.both),
                invented: empty(summary.empty.truth_only),
                missed: empty(summary.empty.prediction_only),
            });
        }
    }
    counts
}

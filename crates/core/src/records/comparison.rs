//! How conditions differ on the same subjects: `compare.json`.

use serde::{Deserialize, Serialize};

use super::evaluation::{EvaluationSettings, Interval};
use super::run::{InputRecord, Tool};

/// `compare.json`: conditions beside a reference, subject by subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRecord {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// The metric that is compared, by its name in `eval.json`.
    pub metric: String,
    /// The store and part that all evaluations are of; with cross-validation one for each fold.
    pub data: Vec<InputRecord>,
    /// Rules behind the numbers; those of the evaluations with this comparison's own resamples, seed and level.
    pub settings: EvaluationSettings,
    /// The condition that the others are compared with.
    pub reference: ConditionRecord,
    /// The others.
    pub conditions: Vec<ConditionRecord>,
    /// A line for each other condition and class, region or mean of classes.
    pub rows: Vec<ComparisonRow>,
    /// What a reader has to know before trusting the numbers.
    pub warnings: Vec<String>,
}

/// One condition: the same recipe trained with several seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConditionRecord {
    /// As given.
    pub name: String,
    /// The checkpoints of each seed, several where they predict together or each has tested a fold.
    pub models: Vec<Vec<InputRecord>>,
}

/// What of a subject is scored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scored {
    /// A foreground class.
    Class,
    /// A union of classes.
    Region,
    /// The mean of the foreground classes that have a value.
    Mean,
}

/// One condition beside the reference, over subjects that have a value in both. A subject's value is its mean over seeds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ComparisonRow {
    /// The condition.
    pub condition: String,
    /// What is scored.
    pub scored: Scored,
    /// Name of the class or region; `mean` for the mean of classes.
    pub name: String,
    /// The reference's mean with its interval.
    pub reference: Interval,
    /// The condition's mean with its interval.
    pub value: Interval,
    /// Mean of condition minus reference.
    pub difference: Interval,
    /// The condition's mean as a share of the reference's.
    pub ratio: Interval,
    /// Two-sided Wilcoxon signed-rank test of the subjects' differences; none when none differs.
    pub p_value: Option<f64>,
    /// The same corrected by Holm's method for all classes and means in this record; regions are unions of classes, and
    /// are not tested again.
    pub p_holm: Option<f64>,
}

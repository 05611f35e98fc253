//! What a segmenter scored: `eval.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::run::{InputRecord, Tool};
use crate::Digest;

/// `eval.json`: a segmenter on the held-out subjects of one store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationRecord {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// The checkpoint that was tested; several predict together, by the mean of their probabilities.
    pub models: Vec<InputRecord>,
    /// What the models were trained on, copied from their `run.json`, each input once.
    pub trained_on: Vec<InputRecord>,
    /// The store and part it was tested on.
    pub data: InputRecord,
    /// Digest of the split that kept training and test subjects apart.
    pub split_digest: Digest,
    /// Rules behind the numbers.
    pub settings: EvaluationSettings,
    /// Summary over subjects for each foreground class.
    pub classes: BTreeMap<String, MetricSummary>,
    /// Summary over subjects for each region.
    pub regions: BTreeMap<String, MetricSummary>,
    /// Summary over subjects of each subject's mean over the classes.
    pub mean: MetricSummary,
    /// The same with a penalty in place of every value that the empty rule leaves out.
    pub penalised: PenalisedRecord,
    /// Every subject's own values.
    pub subjects: Vec<SubjectResult>,
}

/// Summaries over all subjects, in which empty masks have values too.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PenalisedRecord {
    /// The values of empty masks, in a sentence.
    pub rule: String,
    /// For each foreground class.
    pub classes: BTreeMap<String, MetricSummary>,
    /// For each region.
    pub regions: BTreeMap<String, MetricSummary>,
    /// Of each subject's mean over the classes.
    pub mean: MetricSummary,
}

/// Rules behind the numbers of an evaluation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvaluationSettings {
    /// The rule for masks that are empty in truth, prediction or both, in a sentence.
    pub empty_rule: String,
    /// Whether every image was seen from the other side as well.
    pub mirrored: bool,
    /// How HD95 is computed, in a sentence.
    pub hd95_rule: String,
    /// Bootstrap resamples of the subjects.
    pub resamples: usize,
    /// Seed of the resamples.
    pub seed: u64,
    /// Level of the intervals, such as 0.95.
    pub level: f64,
}

/// A mean over subjects with its interval; `null` when no subject has a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    /// Mean over subjects.
    pub mean: Option<f64>,
    /// Lower end of the bootstrap interval.
    pub low: Option<f64>,
    /// Upper end of the bootstrap interval.
    pub high: Option<f64>,
    /// Subjects that have a value.
    pub n: usize,
}

/// All metrics of one class or region, over subjects. Distances are millimetres.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricSummary {
    /// Dice coefficient, 0 to 1.
    pub dice: Interval,
    /// Share of predicted voxels that are right.
    pub precision: Interval,
    /// Share of true voxels that were found.
    pub recall: Interval,
    /// Maximum symmetric Hausdorff distance.
    pub hd: Interval,
    /// 95th percentile Hausdorff distance.
    pub hd95: Interval,
    /// Average symmetric surface distance.
    pub assd: Interval,
    /// Lesion-wise Dice: the mean over lesions found, missed and invented.
    pub lesion_dice: Interval,
    /// How often a mask was empty.
    pub empty: EmptyCounts,
}

/// How many subjects had an empty mask.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EmptyCounts {
    /// Absent in truth and prediction.
    pub both: usize,
    /// Absent in truth, predicted.
    pub truth_only: usize,
    /// Present in truth, not predicted.
    pub prediction_only: usize,
}

/// All metrics of one class or region of one subject; `null` where undefined by the empty rule.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MetricValues {
    /// Dice coefficient, 0 to 1.
    pub dice: Option<f64>,
    /// Share of predicted voxels that are right.
    pub precision: Option<f64>,
    /// Share of true voxels that were found.
    pub recall: Option<f64>,
    /// Maximum symmetric Hausdorff distance, mm.
    pub hd: Option<f64>,
    /// 95th percentile Hausdorff distance, mm.
    pub hd95: Option<f64>,
    /// Average symmetric surface distance, mm.
    pub assd: Option<f64>,
    /// Lesion-wise Dice, 0 to 1: the sum of the matched lesions' Dice over all lesions, matched or not.
    pub lesion_dice: Option<f64>,
    /// Lesions in the truth.
    pub truth_lesions: u64,
    /// Lesions in the prediction.
    pub prediction_lesions: u64,
    /// Lesions that were matched, one to one.
    pub matched_lesions: u64,
    /// Voxels in the truth.
    pub truth_voxels: u64,
    /// Voxels in the prediction.
    pub prediction_voxels: u64,
}

/// One subject's values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectResult {
    /// Pseudonym of the subject.
    pub subject: Digest,
    /// Slices evaluated.
    pub slices: usize,
    /// Diagonal of the evaluated volume, the penalty for a distance to nothing.
    pub diagonal_mm: f64,
    /// By class name.
    pub classes: BTreeMap<String, MetricValues>,
    /// By region name.
    pub regions: BTreeMap<String, MetricValues>,
}

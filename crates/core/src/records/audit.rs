//! Whether a synthetic set copies the subjects it was learnt from: `audit.json`, which holds aggregates only, and
//! `images.json`, which is for the inside.

use serde::{Deserialize, Serialize};

use super::evaluation::Interval;
use super::membership::MembershipRecord;
use super::run::{InputRecord, Tool};
use crate::Digest;

/// `audit.json`: aggregates of a memorisation audit. It names no image and no subject.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditRecord {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// The cohort that copies were searched in.
    pub real: InputRecord,
    /// Digest of the cohort's split.
    pub split_digest: Digest,
    /// The set that was searched for copies.
    pub synthetic: InputRecord,
    /// Rules behind the numbers.
    pub settings: AuditSettings,
    /// Synthetic images.
    pub n: usize,
    /// Of them, beyond the threshold: what is expected of new subjects' images at the false alarm rate, and copies.
    pub flagged: usize,
    /// Of the flagged, those that stay when the number of images is accounted for (Benjamini and Hochberg).
    pub confirmed: usize,
    /// Images of control subjects.
    pub control_n: usize,
    /// Of them, flagged: false alarms, because no generator has seen them.
    pub control_flagged: usize,
    /// Control subjects.
    pub control_subjects: usize,
    /// Share of control images that are flagged, over control subjects.
    pub false_alarms: Interval,
    /// The same in parts of the images.
    pub strata: Vec<StratumRecord>,
    /// Share flagged of the synthetic images minus share flagged of the control images.
    pub excess: Interval,
    /// Share of the synthetic images that are copies, as far as the planted copies tell.
    pub estimated_share: Interval,
    /// Synthetic images that are confirmed as copies of subjects that were held out: val, control or test.
    pub held_out_copies: usize,
    /// Synthetic images that equal another synthetic image in every pixel.
    pub duplicates: usize,
    /// What planted copies say of what this audit finds.
    pub sensitivity: Vec<SensitivityRecord>,
    /// What planted shares of copies were estimated as.
    pub dose_response: Vec<DoseRecord>,
    /// Training subjects with at least one copy.
    pub patients: PatientRecord,
    /// Plain correlation of whole images, as in the literature.
    pub plain: Vec<PlainRecord>,
    /// The measures, and what each flagged.
    pub measures: Vec<MeasureRecord>,
    /// Whether the generators' weights tell who was learnt from, one a generator; none where it was not asked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub membership: Vec<MembershipRecord>,
    /// What was asked of this audit, and what it found.
    pub gates: Vec<GateRecord>,
    /// What cannot be said with these subjects.
    pub unresolved: Vec<String>,
    /// What a reader has to know besides.
    pub warnings: Vec<String>,
    /// The result in words.
    pub verdict: String,
    /// Whether every gate is met and nothing is unresolved.
    pub passed: bool,
}

/// Rules behind the numbers of an audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditSettings {
    /// Share of new subjects' images that may be flagged.
    pub false_alarm_rate: f64,
    /// False discovery rate of what is called confirmed.
    pub discovery_rate: f64,
    /// The score beyond which an image is flagged; 0 is a typical new image, 1 four upper quartile ranges beyond.
    pub threshold: f64,
    /// Subjects behind the null scores.
    pub null_subjects: usize,
    /// Images behind the null scores.
    pub null_images: usize,
    /// Planted copies in every cell.
    pub planted: usize,
    /// How copy embeddings were learnt; none where they were not asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<serde_json::Value>,
    /// Seed of what is random.
    pub seed: u64,
    /// Bootstrap resamples of the subjects.
    pub resamples: usize,
    /// Level of the intervals.
    pub level: f64,
}

/// False alarms in a part of the control images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StratumRecord {
    /// What the part is.
    pub name: String,
    /// Control images in it.
    pub n: usize,
    /// Of them, flagged.
    pub flagged: usize,
    /// Exact interval of the share (Clopper and Pearson), as if images were independent.
    pub rate: Interval,
}

/// How strong a planted copy was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Tier {
    /// What any use of an image does to it; nearly all such copies must be found.
    Slight,
    /// What somebody does who hides a copy; most must be found.
    Strong,
    /// Reported, and not promised.
    Partial,
}

/// Copies of training images, changed in one way and hidden among fresh images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SensitivityRecord {
    /// How the copies were changed.
    pub name: String,
    /// How strong that is.
    pub tier: Tier,
    /// Copies.
    pub n: usize,
    /// Of them, flagged.
    pub found: usize,
    /// Share found with its exact interval (Clopper and Pearson).
    pub recall: Interval,
    /// Of those found, how many were matched with the subject that they copy.
    pub subject_right: usize,
}

/// A known share of copies and what the audit says of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DoseRecord {
    /// Share of copies that were planted.
    pub planted: f64,
    /// What was estimated.
    pub estimated: Interval,
}

/// The question of a patient: is one of my images in there?
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PatientRecord {
    /// Training subjects.
    pub train_n: usize,
    /// Of them, with at least one confirmed copy.
    pub train_copied: usize,
    /// Share with its exact interval.
    pub train_rate: Interval,
    /// Held-out subjects: val, control and test.
    pub control_n: usize,
    /// Of them, with at least one confirmed copy, which nobody could have made.
    pub control_copied: usize,
    /// Share with its exact interval.
    pub control_rate: Interval,
}

/// Plain correlation of one set's images with their nearest training images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlainRecord {
    /// The set: `synthetic`, `val` or `control`.
    pub set: String,
    /// The contrast.
    pub channel: String,
    /// Images.
    pub n: usize,
    /// Median of the largest correlations.
    pub median: f64,
    /// 99th percentile.
    pub q99: f64,
    /// The largest.
    pub largest: f64,
}

/// One way to compare images.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MeasureRecord {
    /// Its name.
    pub name: String,
    /// What it compares, in a sentence.
    pub description: String,
    /// Synthetic images for which it gave the highest score, of the flagged ones.
    pub flagged: usize,
}

/// One thing asked of an audit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GateRecord {
    /// What is asked, in words.
    pub name: String,
    /// The limit.
    pub limit: f64,
    /// What was found.
    pub found: Option<f64>,
    /// Whether it is met; what was not found is not met.
    pub met: bool,
    /// Where the limit comes from.
    pub reason: String,
}

/// `images.json`: every synthetic image that is flagged. For the inside: scores of images help to rebuild patients'.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditImages {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// Digest of the cohort's store.
    pub real: Digest,
    /// Digest of the synthetic store.
    pub synthetic: Digest,
    /// The flagged images, the most suspicious first.
    pub images: Vec<FlaggedImage>,
}

/// A synthetic image that is flagged, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FlaggedImage {
    /// Its index in the synthetic store.
    pub index: usize,
    /// The score; beyond 1 and more it leaves what new subjects' images have.
    pub score: f64,
    /// Chance that a new subject's image has this score.
    pub p_value: f64,
    /// Whether it is confirmed.
    pub confirmed: bool,
    /// The measure with the highest score.
    pub measure: String,
    /// Similarity by that measure: a correlation or an overlap.
    pub similarity: f64,
    /// Index of the nearest real image in its store.
    pub nearest: usize,
    /// Pseudonym of its subject.
    pub subject: Digest,
    /// Part of the cohort that the subject belongs to.
    pub split: crate::Split,
    /// Why it is flagged, in a sentence.
    pub reason: String,
}

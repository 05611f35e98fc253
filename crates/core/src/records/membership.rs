//! Whether a model tells who it was trained on: `membership.json`. Aggregates over subjects only: a score for each
//! subject would itself tell.

use serde::{Deserialize, Serialize};

use super::evaluation::Interval;
use super::run::{InputRecord, Tool};

/// `membership.json`: attacks on one model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MembershipRecord {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// The run and its checkpoint.
    pub model: InputRecord,
    /// The part that it was trained on.
    pub members: InputRecord,
    /// The parts that it was not trained on, as on the command line.
    pub non_members: InputRecord,
    /// Subjects of the members.
    pub member_subjects: usize,
    /// Subjects of the non-members.
    pub non_member_subjects: usize,
    /// Most slices of a subject that were scored, evenly spaced; all when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slices_a_subject: Option<usize>,
    /// Seed of noise and latents.
    pub seed: u64,
    /// Level of the intervals.
    pub level: f64,
    /// The attacks; the first one was chosen to be reported before any was made.
    pub attacks: Vec<AttackRecord>,
    /// What a reader has to know before trusting the numbers.
    pub warnings: Vec<String>,
}

/// One attack: a score that is to be larger for members.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AttackRecord {
    /// Short name.
    pub name: String,
    /// What the score is, in a sentence.
    pub score: String,
    /// Probability that a member's mean score exceeds a non-member's, by subject.
    pub auc: Interval,
    /// What is detected at rates of false alarms, by subject.
    pub detections: Vec<Detection>,
}

/// What of the positives is detected when at most a share of the negatives is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Detection {
    /// Share of the negatives that may be detected.
    pub false_alarms: f64,
    /// Negatives that it takes to know so small a share: its inverse.
    pub needed: usize,
    /// Negatives that there are.
    pub negatives: usize,
    /// Detected positives; none when it is not resolvable, with fewer negatives than needed.
    pub found: Option<Proportion>,
}

/// A share with its exact interval.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proportion {
    /// How many.
    pub k: usize,
    /// Of how many.
    pub n: usize,
    /// `k / n`.
    pub share: f64,
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

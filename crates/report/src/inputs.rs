//! What a report is made from. Every part may be missing; the report then says so in its place.

use synthmr_core::Digest;
use synthmr_core::records::{
    AuditRecord, ComparisonRecord, ContactSheet, EvaluationRecord, RealismRecord, RunRecord, StoreManifest,
    Tick,
};

/// Everything that a report shows.
#[derive(Clone, Debug, Default)]
pub struct ReportInputs {
    /// Heading of the page.
    pub title: String,
    /// The cohort's store.
    pub real: Option<StoreInput>,
    /// The synthetic set.
    pub synthetic: Option<StoreInput>,
    /// Training runs in the order in which they are shown: generators and segmenters.
    pub runs: Vec<RunInput>,
    /// Evaluations, one a condition.
    pub evaluations: Vec<EvaluationInput>,
    /// Comparisons of conditions, in the order in which they are shown.
    pub comparisons: Vec<ComparisonInput>,
    /// Measurements of realism, in the order in which they are shown.
    pub realism: Vec<RealismInput>,
    /// The audit of the synthetic set.
    pub audit: Option<AuditInput>,
}

/// A store as far as a report may see it: its manifest and the pictures made for people.
#[derive(Clone, Debug)]
pub struct StoreInput {
    /// Name of the store's folder, without where it lies.
    pub name: String,
    /// Digest of `manifest.json`: what other records call the store by.
    pub digest: Digest,
    /// `manifest.json`.
    pub manifest: StoreManifest,
    /// `sheet.json` and its PNG, when the step that made the store wrote them.
    pub sheet: Option<SheetInput>,
}

/// A contact sheet with its pixels.
#[derive(Clone, Debug)]
pub struct SheetInput {
    /// `sheet.json`.
    pub record: ContactSheet,
    /// The PNG file's bytes.
    pub png: Vec<u8>,
}

/// A training run.
#[derive(Clone, Debug)]
pub struct RunInput {
    /// Name of the run's folder, without where it lies.
    pub name: String,
    /// `run.json`.
    pub record: RunRecord,
    /// `events.jsonl`; a value that was not a finite number is NaN.
    pub ticks: Vec<Tick>,
    /// The newest sample grid, as a PNG file's bytes.
    pub samples: Option<Vec<u8>>,
}

/// An evaluation under the name of its condition.
#[derive(Clone, Debug)]
pub struct EvaluationInput {
    /// `real`, `synthetic`, `both` (see [`crate::conditions`]), or any other name.
    pub condition: String,
    /// `eval.json`.
    pub record: EvaluationRecord,
}

/// A comparison of conditions.
#[derive(Clone, Debug)]
pub struct ComparisonInput {
    /// Name of its file, for messages.
    pub name: String,
    /// `compare.json`.
    pub record: ComparisonRecord,
}

/// How close a synthetic set is to a real one.
#[derive(Clone, Debug)]
pub struct RealismInput {
    /// The condition whose evaluation it stands beside, if any: metrics are ranked beside Dice over such pairs.
    pub name: Option<String>,
    /// Its file as it was given, for messages: many are called `realism.json`. The page does not say where files lie.
    pub file: String,
    /// `realism.json`.
    pub record: RealismRecord,
}

/// Whether the synthetic set copies its patients.
#[derive(Clone, Debug)]
pub struct AuditInput {
    /// Name of its file, for messages.
    pub name: String,
    /// `audit.json`.
    pub record: AuditRecord,
}

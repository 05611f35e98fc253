//! What a training run is: `run.json` and the lines of `events.jsonl`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LabelQuality;
use crate::{Digest, LabelScheme};

/// The program that wrote a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tool {
    /// Always `synthmr`.
    pub name: String,
    /// Version of the workspace.
    pub version: String,
}

impl Tool {
    /// This program.
    pub fn this() -> Self {
        Self { name: "synthmr".into(), version: env!("CARGO_PKG_VERSION").into() }
    }
}

/// What a run trains.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ModelKind {
    /// A generator of images with their annotation.
    Generator,
    /// A segmentation network.
    Segmenter,
}

/// `run.json`: everything that decides what a run computes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// What is trained.
    pub kind: ModelKind,
    /// The resolved configuration, every value.
    pub config: serde_json::Value,
    /// The stores it learns from.
    pub inputs: Vec<InputRecord>,
    /// Weights from elsewhere that the run was made of; what they were trained on is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<InputRecord>,
    /// Names of the image channels that the network was built for, in order.
    pub channels: Vec<String>,
    /// Classes of the annotation that the network was built for.
    pub labels: LabelScheme,
    /// What the annotations of a generator's training images look like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub training_labels: Option<LabelQuality>,
    /// What it runs on; part of the bit-for-bit promise.
    pub engine: EngineRecord,
}

/// One input of a step, by content.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InputRecord {
    /// File or folder name without its folder.
    pub name: String,
    /// Digest of the store's manifest or of the checkpoint.
    pub digest: Digest,
    /// The parts used, as on the command line: `train`; empty when that does not apply.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub split: String,
    /// Its weight in a mixture of inputs; none where there is no mixture, or where it is 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<f64>,
    /// Images used or drawn.
    pub images: usize,
}

/// What a step computed on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineRecord {
    /// Version of libtorch.
    pub libtorch: String,
    /// `cpu` or `cuda:0`; with commas between them where several shared every batch: `cuda:0,cuda:1`.
    pub device: String,
    /// `f32` or `bf16`.
    pub precision: String,
    /// Threads inside an operation.
    pub threads: usize,
}

/// One line of `events.jsonl`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Tick {
    /// Training images shown so far; the only counter of a run.
    pub images_seen: u64,
    /// Named values: losses, rates, validation scores.
    pub values: BTreeMap<String, f64>,
}

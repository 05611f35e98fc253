//! What a slice store holds: `manifest.json`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::run::{InputRecord, Tool};
use crate::{Digest, LabelEncoding, LabelScheme, Split};

/// `manifest.json` of a slice store; it describes real and synthetic sets alike.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoreManifest {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// Names of the image channels in the order in which they are stored, such as `T1`.
    pub channels: Vec<String>,
    /// Rows of a slice.
    pub height: usize,
    /// Columns of a slice.
    pub width: usize,
    /// Number of slices over all shards.
    pub slices: usize,
    /// Classes of the label pixels.
    pub labels: LabelScheme,
    /// Where the slices come from.
    pub origin: Origin,
    /// The shards, in order.
    pub shards: Vec<ShardRecord>,
}

impl StoreManifest {
    /// Bytes of one slice's images.
    pub fn image_bytes(&self) -> usize {
        self.channels.len() * self.label_bytes()
    }

    /// Bytes of one slice's label map.
    pub fn label_bytes(&self) -> usize {
        self.height * self.width
    }

    /// True when the slices show patients (or phantom subjects in their place).
    pub fn is_real(&self) -> bool {
        matches!(self.origin, Origin::Cohort { .. })
    }
}

/// One shard file of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardRecord {
    /// File name inside the store.
    pub file: String,
    /// Slices in this shard.
    pub slices: usize,
    /// Digest of the file.
    pub digest: Digest,
}

/// Where the slices of a store come from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum Origin {
    /// Imported from a cohort of subjects.
    Cohort {
        /// How volumes became slices.
        preparation: PreparationRecord,
        /// How subjects were divided.
        split: SplitRecord,
        /// The subjects; a slice's `subject` indexes this list.
        subjects: Vec<SubjectRecord>,
    },
    /// Drawn from a generator.
    Sampled(Box<SamplingRecord>),
}

/// How volumes became slices.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PreparationRecord {
    /// Name of the recipe: `paper` or `robust`.
    pub recipe: String,
    /// The recipe's steps with their values, for people and for the report.
    pub steps: Vec<String>,
}

/// How subjects were assigned to splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SplitMethod {
    /// Keyed hash of the name against the fractions; adding subjects never moves others.
    Hash,
    /// Rank of the keyed hash, so that small cohorts meet the fractions and no part is empty.
    HashRank,
    /// A list of names.
    List,
}

/// The division of a cohort.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SplitRecord {
    /// How it was made.
    pub method: SplitMethod,
    /// The fractions asked for, or the name of the list.
    pub request: String,
    /// Digest of every (pseudonym, split) pair; carried by all later records.
    pub digest: Digest,
}

/// One subject of a store.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectRecord {
    /// Keyed digest of the name.
    pub pseudonym: Digest,
    /// The part it belongs to.
    pub split: Split,
    /// Kept slices of this subject.
    pub slices: usize,
    /// Distance between voxel centres *in the store*: rows, columns, slices; millimetres.
    pub spacing_mm: [f64; 3],
}

/// How a synthetic set was drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SamplingRecord {
    /// The generators. With several, they take turns by blocks: image i is of generator `(i / block) mod n`.
    pub generators: Vec<GeneratorRecord>,
    /// Images of a block, which are computed at once.
    pub block: u64,
    /// Seed of the latents.
    pub seed: u64,
    /// Truncation of the latent distribution; 1 is none.
    pub truncation: f64,
    /// How the generators carried the annotation.
    pub label_encoding: LabelEncoding,
    /// What the drawn annotations look like.
    pub label_quality: LabelQuality,
}

impl SamplingRecord {
    /// Of images that no recorded generator drew: made-up ones, or another program's.
    pub fn without_generators() -> Self {
        let label_quality =
            LabelQuality { unclean_share: 0.0, empty_share: 0.0, class_share: BTreeMap::new() };
        Self {
            generators: Vec::new(),
            block: 1,
            seed: 0,
            truncation: 1.0,
            label_encoding: LabelEncoding::Gray,
            label_quality,
        }
    }
}

/// A generator that images were drawn from.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorRecord {
    /// Name of its run, without the folder.
    pub name: String,
    /// Digest of the checkpoint.
    pub digest: Digest,
    /// Images drawn from it.
    pub images: usize,
    /// How a diffusion model's noise became images, such as `heun, 18 steps`; absent for GANs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sampler: Option<String>,
    /// `best` for the weights at the best inspection; absent for the checkpoint's newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<String>,
    /// The stores that it was trained on; none when that is not known.
    pub trained_on: Vec<InputRecord>,
    /// Weights from elsewhere that the generator consists of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub adopted: Option<InputRecord>,
    /// What the annotations of the images that it was trained on look like.
    pub training_labels: Option<LabelQuality>,
}

/// What the annotations of a set look like.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelQuality {
    /// Share of pixels whose value is far from every class.
    pub unclean_share: f64,
    /// Share of images without any foreground class.
    pub empty_share: f64,
    /// Share of pixels of each class, by name.
    pub class_share: BTreeMap<String, f64>,
}

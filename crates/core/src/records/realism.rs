//! How close a synthetic set is to a real one: `realism.json`.

use serde::{Deserialize, Serialize};

use super::run::{InputRecord, Tool};
use crate::Digest;

/// `realism.json`: a list of numbers, each with what it was measured on and its floor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealismRecord {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// The program that wrote it.
    pub tool: Tool,
    /// The real images.
    pub real: InputRecord,
    /// The synthetic images.
    pub synthetic: InputRecord,
    /// Another part of the real store, of other subjects, that the real images are compared with; none where the store has
    /// no such part, or one of too few subjects.
    pub held_out: Option<InputRecord>,
    /// Subjects of the real images.
    pub real_subjects: usize,
    /// Names of the contrasts, in the real store's order.
    pub channels: Vec<String>,
    /// The network whose features were compared.
    pub features: FeatureRecord,
    /// Rules behind the numbers.
    pub settings: RealismSettings,
    /// The numbers.
    pub results: Vec<RealismResult>,
    /// What a reader has to know before trusting the numbers.
    pub warnings: Vec<String>,
}

/// A network whose features are compared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FeatureRecord {
    /// `inception-v3`, `efficientnet-lite0`, `segmenter` or `random-conv`.
    pub name: String,
    /// Digest of the file or checkpoint that its weights come from, or of what makes them.
    pub digest: Digest,
    /// Features of an image.
    pub dims: usize,
    /// How an image reaches the network, in a sentence.
    pub protocol: String,
}

/// Rules behind the numbers of a realism record.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealismSettings {
    /// Draws of halves behind every interval and floor.
    pub draws: usize,
    /// Seed of the draws.
    pub seed: u64,
    /// Level of the intervals, such as 0.95.
    pub level: f64,
    /// Neighbours of precision, recall, density and coverage.
    pub nearest: usize,
    /// Subsets of the kernel distance.
    pub kernel_subsets: usize,
    /// Images of each set in such a subset.
    pub kernel_images: usize,
    /// Parts of the Inception Score.
    pub score_splits: usize,
    /// How the intervals are made, in a sentence.
    pub interval_rule: String,
    /// How the floors are made, in a sentence.
    pub floor_rule: String,
}

/// Which way is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Better {
    /// Smaller is nearer to the real set.
    Lower,
    /// Larger is nearer to the real set.
    Higher,
    /// Neither: the floor is what the real set has, and both sides of it are away from it.
    Floor,
}

/// One number.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RealismResult {
    /// `frechet`, `kid`, `precision` and so on; `docs/realism.md` defines them.
    pub metric: String,
    /// What was compared: the network's name, `pixels` or `annotation`.
    pub features: String,
    /// A contrast, a pair of them (`T1+T1ce`), a class, `joint` for all contrasts together, `mean` for a mean over them.
    pub channel: String,
    /// Real images.
    pub n_real: usize,
    /// Synthetic images.
    pub n_synthetic: usize,
    /// The number; none where it is not defined, such as the area of a class that is nowhere.
    pub value: Option<f64>,
    /// Lower end of its interval.
    pub low: Option<f64>,
    /// Upper end of its interval.
    pub high: Option<f64>,
    /// The mean over draws of the same number between two halves of the real images, of different subjects.
    pub floor: Option<f64>,
    /// Range of the floor over the draws, at the level of the intervals.
    pub floor_low: Option<f64>,
    /// See [`Self::floor_low`].
    pub floor_high: Option<f64>,
    /// The number at the floor's sizes: half of the real images beside as many synthetic ones as the other half has. Only
    /// this may be compared with the floor where the number depends on how many images there are.
    pub matched: Option<f64>,
    /// The number between the real images and the held-out ones.
    pub held_out: Option<f64>,
    /// Standard deviation over the subsets or splits of the metrics that have them.
    pub deviation: Option<f64>,
    /// Which way is better.
    pub better: Better,
    /// A set had no more images than features: the number depends on how many there were.
    pub rank_deficient: bool,
}

//! Configuration of a generator's training. Every value has its place in `presets/*.toml`; nothing is
//! hidden in code.

use serde::{Deserialize, Serialize};
use synthmr_core::{LabelEncoding, limits};
use synthmr_nets::generators::stylegan2::StyleGan2Config;

use crate::TrainError;
use crate::config::Preset;

/// The generators' presets, in the order in which they are listed.
pub const PRESETS: &[Preset] = &[
    Preset {
        name: "stylegan2-tiny-64",
        help: "StyleGAN 2 at 64x64 that learns the phantom cohort in minutes on two cores",
        toml: include_str!("../../presets/stylegan2-tiny-64.toml"),
    },
    Preset {
        name: "stylegan2-paper-256",
        help: "StyleGAN 2 at 256x256 as in the study: 25,000 kimg, batch 32, for GPUs",
        toml: include_str!("../../presets/stylegan2-paper-256.toml"),
    },
];

/// Everything that decides what a generator's training computes, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GeneratorConfig {
    /// Family of networks.
    pub architecture: Architecture,
    /// Side of the images in pixels; must be the store's.
    pub resolution: i64,
    /// How the annotation is carried: one grey plane, or one plane a class.
    pub labels: LabelEncoding,
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the training, in thousands of real images shown.
    pub kimg: f64,
    /// Images in a step.
    pub batch: i64,
    /// Images between two lines of the log.
    pub tick_images: u64,
    /// Images between two checkpoints and sample grids.
    pub checkpoint_images: u64,
    /// Mirror half of the images left to right.
    pub mirror: bool,
    /// Half-life of the moving average of the generator's weights, in images.
    pub ema_half_life_images: f64,
    /// The half-life is at most this share of the images seen so far, so that early averages forget the start.
    pub ema_rampup: f64,
    /// Sizes of the networks.
    pub network: NetworkConfig,
    /// Steps along the gradient.
    pub optimiser: OptimiserConfig,
    /// Losses and penalties.
    pub loss: LossConfig,
    /// Augmentation of what the discriminator sees.
    pub augment: AugmentConfig,
}

/// Families of generators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// Karras et al. 2020.
    StyleGan2,
}

/// Sizes of the StyleGAN 2 networks; see [`StyleGan2Config`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NetworkConfig {
    /// Length of the latent z.
    pub z_dim: i64,
    /// Length of the intermediate latent w.
    pub w_dim: i64,
    /// Layers from z to w.
    pub mapping_layers: i64,
    /// Feature maps at resolution r are min(channel_base / r, channel_max).
    pub channel_base: i64,
    /// Most feature maps.
    pub channel_max: i64,
    /// Samples a group of the minibatch standard deviation.
    pub mbstd_group: i64,
}

/// Adam's settings (lazily applied penalties scale them by interval / (interval + 1)).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Learning rate of the generator.
    pub generator_rate: f64,
    /// Learning rate of the discriminator.
    pub discriminator_rate: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
}

/// Weights and intervals of the penalties.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossConfig {
    /// Weight gamma of the R1 penalty.
    pub r1_gamma: f64,
    /// Steps from one R1 penalty to the next.
    pub r1_interval: u64,
    /// Weight of the path-length penalty; 0 turns it off.
    pub path_length_weight: f64,
    /// Steps from one path-length penalty to the next.
    pub path_length_interval: u64,
    /// Probability that a batch mixes the styles of two latents, from a random layer on.
    pub style_mixing: f64,
}

/// How the strength of augmentation is chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AugmentMode {
    /// No augmentation.
    None,
    /// Constant strength.
    Fixed,
    /// Follows the discriminator's overfitting (ADA).
    Adaptive,
}

/// Augmentation of what the discriminator sees.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AugmentConfig {
    /// How the strength is chosen.
    pub mode: AugmentMode,
    /// The strength, or the one that the adaptive mode begins with; 0 to 0.8.
    pub strength: f64,
    /// Mean sign of D's logits on real images that the adaptive mode holds.
    pub target: f64,
    /// Images in which the adaptive strength may go from 0 to 1.
    pub ramp_images: f64,
    /// Steps between two adjustments.
    pub interval: u64,
}

impl GeneratorConfig {
    /// Images to be shown in all.
    pub fn total_images(&self) -> u64 {
        // Whole batches, so that the last step is like the others.
        let batch = self.batch as u64;
        ((self.kimg * 1000.0).ceil() as u64).div_ceil(batch) * batch
    }

    /// Sizes of the networks for images of `planes` planes.
    pub fn network(&self, planes: i64) -> StyleGan2Config {
        StyleGan2Config {
            resolution: self.resolution,
            planes,
            z_dim: self.network.z_dim,
            w_dim: self.network.w_dim,
            mapping_layers: self.network.mapping_layers,
            channel_base: self.network.channel_base,
            channel_max: self.network.channel_max,
            mbstd_group: self.network.mbstd_group,
        }
    }

    /// Checks every value that could break a run hours later.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub fn validate(&self) -> Result<(), TrainError> {
        let network = &self.network;
        let resolution = self.resolution;
        let power_of_two = resolution >= 8 && resolution & (resolution - 1) == 0;
        require(
            power_of_two && resolution <= limits::RESOLUTION as i64,
            "resolution",
            "a power of two from 8 to 1024",
            resolution,
        )?;
        require(self.kimg > 0.0 && self.kimg <= 1e7, "kimg", "more than 0, at most 10,000,000", self.kimg)?;
        require((1..=4096).contains(&self.batch), "batch", "1 to 4096", self.batch)?;
        let group = network.mbstd_group;
        require(
            group >= 1 && (self.batch < group || self.batch % group == 0),
            "network.mbstd_group",
            "a divisor of the batch",
            group,
        )?;
        require(self.tick_images > 0, "tick_images", "more than 0", self.tick_images)?;
        require(self.checkpoint_images > 0, "checkpoint_images", "more than 0", self.checkpoint_images)?;
        let half_life = self.ema_half_life_images;
        require(half_life >= 0.0 && half_life.is_finite(), "ema_half_life_images", "0 or more", half_life)?;
        require(self.ema_rampup > 0.0, "ema_rampup", "more than 0", self.ema_rampup)?;
        for (key, value, largest) in [
            ("network.z_dim", network.z_dim, 8192),
            ("network.w_dim", network.w_dim, 8192),
            ("network.mapping_layers", network.mapping_layers, 64),
            ("network.channel_base", network.channel_base, 1 << 20),
            ("network.channel_max", network.channel_max, 8192),
        ] {
            require((1..=largest).contains(&value), key, &format!("1 to {largest}"), value)?;
        }
        for (key, value) in [
            ("optimiser.generator_rate", self.optimiser.generator_rate),
            ("optimiser.discriminator_rate", self.optimiser.discriminator_rate),
            ("optimiser.epsilon", self.optimiser.epsilon),
        ] {
            require(value > 0.0 && value < 1.0, key, "more than 0, less than 1", value)?;
        }
        for (key, value) in
            [("optimiser.beta1", self.optimiser.beta1), ("optimiser.beta2", self.optimiser.beta2)]
        {
            require((0.0..1.0).contains(&value), key, "0 to less than 1", value)?;
        }
        let loss = &self.loss;
        for (key, value) in
            [("loss.r1_gamma", loss.r1_gamma), ("loss.path_length_weight", loss.path_length_weight)]
        {
            require((0.0..1e6).contains(&value), key, "0 or more", value)?;
        }
        for (key, value) in [
            ("loss.r1_interval", loss.r1_interval),
            ("loss.path_length_interval", loss.path_length_interval),
            ("augment.interval", self.augment.interval),
        ] {
            require(value >= 1, key, "1 or more", value)?;
        }
        require((0.0..=1.0).contains(&loss.style_mixing), "loss.style_mixing", "0 to 1", loss.style_mixing)?;
        let augment = &self.augment;
        require((0.0..=0.8).contains(&augment.strength), "augment.strength", "0 to 0.8", augment.strength)?;
        require((-1.0..=1.0).contains(&augment.target), "augment.target", "-1 to 1", augment.target)?;
        require(augment.ramp_images > 0.0, "augment.ramp_images", "more than 0", augment.ramp_images)
    }
}

/// An error that names the key unless `valid`. NaN fails every comparison, so it is refused everywhere.
pub(crate) fn require(
    valid: bool,
    key: &'static str,
    expected: &str,
    found: impl std::fmt::Display,
) -> Result<(), TrainError> {
    if valid {
        Ok(())
    } else {
        Err(TrainError::Config { key, expected: expected.to_owned(), found: found.to_string() })
    }
}

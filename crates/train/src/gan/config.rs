//! Settings of a GAN: networks, optimisers, losses, augmentation.

use serde::{Deserialize, Serialize};
use synthmr_nets::generators::stylegan2::StyleGan2Config;

use super::Game;
use crate::TrainError;
use crate::config::require;
use crate::generator::GeneratorConfig;

/// The part of a generator's configuration that is a GAN's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GanConfig {
    /// Sizes of the networks.
    pub network: NetworkConfig,
    /// Steps along the gradient.
    pub optimiser: OptimiserConfig,
    /// Losses and penalties.
    pub loss: LossConfig,
    /// Augmentation of what the discriminator sees.
    pub augment: AugmentConfig,
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
    /// What the two networks play for.
    pub game: Game,
    /// Weight gamma of the R1 penalty, on real images.
    pub r1_gamma: f64,
    /// Weight gamma of the R2 penalty, on generated images; 0 turns it off.
    pub r2_gamma: f64,
    /// Steps from one R1 or R2 penalty to the next.
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

impl LossConfig {
    /// Steps from one extra step of the generator, for its penalty, to the next; 0 when there is no penalty.
    pub(super) fn generator_interval(&self) -> u64 {
        if self.path_length_weight > 0.0 { self.path_length_interval } else { 0 }
    }

    /// Steps from one extra step of the discriminator, for its penalties, to the next; 0 when there are none.
    pub(super) fn discriminator_interval(&self) -> u64 {
        if self.r1_gamma > 0.0 || self.r2_gamma > 0.0 { self.r1_interval } else { 0 }
    }
}

impl GanConfig {
    /// Sizes of the networks for images of `planes` planes.
    pub fn network(&self, resolution: i64, planes: i64) -> StyleGan2Config {
        StyleGan2Config {
            resolution,
            planes,
            z_dim: self.network.z_dim,
            w_dim: self.network.w_dim,
            mapping_layers: self.network.mapping_layers,
            channel_base: self.network.channel_base,
            channel_max: self.network.channel_max,
            mbstd_group: self.network.mbstd_group,
        }
    }

    /// Checks every value, beside those that all generators share.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub fn validate(&self, common: &GeneratorConfig) -> Result<(), TrainError> {
        let network = &self.network;
        let (batch, group) = (common.batch, network.mbstd_group);
        require(
            group >= 1 && (batch < group || batch % group == 0),
            "network.mbstd_group",
            "a divisor of the batch",
            group,
        )?;
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
        for (key, value) in [
            ("loss.r1_gamma", loss.r1_gamma),
            ("loss.r2_gamma", loss.r2_gamma),
            ("loss.path_length_weight", loss.path_length_weight),
        ] {
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

//! Settings of a diffusion model.

use serde::{Deserialize, Serialize};
use synthmr_nets::generators::diffusion_unet::{DiffusionUNetConfig, DiffusionUNetSizes};

use super::{Process, SamplerConfig};
use crate::TrainError;
use crate::config::require;
use crate::generator::GeneratorConfig;

/// The part of a generator's configuration that is a diffusion model's own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionConfig {
    /// Sizes of the network.
    pub network: DiffusionUNetSizes,
    /// Steps along the gradient.
    pub optimiser: OptimiserConfig,
    /// How images become noise in training.
    pub process: Process,
    /// How noise becomes images.
    pub sampler: SamplerConfig,
}

/// Adam's settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OptimiserConfig {
    /// Learning rate.
    pub rate: f64,
    /// Images in which the rate rises from 0.
    pub warmup_images: f64,
    /// Share of the training, at its end, in which the rate falls to 0 in a straight line.
    pub decay_share: f64,
    /// Decay of the first moment.
    pub beta1: f64,
    /// Decay of the second moment.
    pub beta2: f64,
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Largest norm of a gradient; larger ones are scaled down. 0 is no limit.
    pub gradient_norm: f64,
}

impl DiffusionConfig {
    /// Sizes of the network for images of `planes` planes.
    pub fn network(&self, resolution: i64, planes: i64) -> DiffusionUNetConfig {
        let outputs = if self.process.learnt_variance().is_some() { 2 * planes } else { planes };
        DiffusionUNetConfig { resolution, planes, outputs, sizes: self.network.clone() }
    }

    /// Learning rate of the step that begins after `images_seen` of `total` images.
    pub fn rate(&self, images_seen: u64, batch: i64, total: u64) -> f64 {
        let optimiser = &self.optimiser;
        let end_of_step = (images_seen + batch as u64) as f64;
        let rise = if optimiser.warmup_images > 0.0 { end_of_step / optimiser.warmup_images } else { 1.0 };
        let left = 1.0 - images_seen as f64 / total as f64;
        let fall = if optimiser.decay_share > 0.0 { left / optimiser.decay_share } else { 1.0 };
        optimiser.rate * rise.min(fall).min(1.0)
    }

    /// Checks every value, beside those that all generators share.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub fn validate(&self, common: &GeneratorConfig) -> Result<(), TrainError> {
        let network = &self.network;
        let (groups, heads, patch) = (network.norm_groups, network.heads, network.patch);
        for (key, value, largest) in [
            ("network.channels", network.channels, 8192),
            ("network.blocks", network.blocks, 64),
            ("network.heads", heads, 256),
            ("network.norm_groups", groups, 1024),
            ("network.patch", patch, 64),
        ] {
            require((1..=largest).contains(&value), key, &format!("1 to {largest}"), value)?;
        }
        let even = network.channels % 2 == 0;
        require(even, "network.channels", "an even number, half of it for sines", network.channels)?;
        let multipliers = &network.multipliers;
        let expected = "1 to 12 numbers from 1 to 64";
        let usable =
            (1..=12).contains(&multipliers.len()) && multipliers.iter().all(|m| (1..=64).contains(m));
        require(usable, "network.multipliers", expected, format!("{multipliers:?}"))?;
        for multiplier in multipliers {
            let features = multiplier * network.channels;
            let expected = "at most 8192 features at a level";
            require(features <= 8192, "network.multipliers", expected, format!("{features} features"))?;
            let expected = |of: &str| format!("{of} dividing the {features} features of a level");
            require(features % groups == 0, "network.norm_groups", &expected("a number"), groups)?;
            require(features % heads == 0, "network.heads", &expected("a number"), heads)?;
        }
        let lowest = patch << (multipliers.len() - 1);
        require(
            common.resolution % lowest == 0,
            "network.patch",
            &format!("patches and halvings that divide the resolution {}", common.resolution),
            format!("{lowest} pixels a position at the lowest of {} levels", multipliers.len()),
        )?;
        let levels = 0..multipliers.len();
        let sides: Vec<i64> = levels.map(|level| (common.resolution / patch) >> level).collect();
        for side in &network.attention {
            let expected = format!("sides of the levels, {sides:?}, of at most 128 pixels");
            require(sides.contains(side) && *side <= 128, "network.attention", &expected, side)?;
        }
        let optimiser = &self.optimiser;
        for (key, value) in [("optimiser.rate", optimiser.rate), ("optimiser.epsilon", optimiser.epsilon)] {
            require(value > 0.0 && value < 1.0, key, "more than 0, less than 1", value)?;
        }
        for (key, value) in [("optimiser.beta1", optimiser.beta1), ("optimiser.beta2", optimiser.beta2)] {
            require((0.0..1.0).contains(&value), key, "0 to less than 1", value)?;
        }
        for (key, value) in [
            ("optimiser.warmup_images", optimiser.warmup_images),
            ("optimiser.gradient_norm", optimiser.gradient_norm),
        ] {
            require((0.0..=1e12).contains(&value), key, "0 or more", value)?;
        }
        let share = optimiser.decay_share;
        require((0.0..=1.0).contains(&share), "optimiser.decay_share", "0 to 1", share)?;
        self.process.validate()?;
        self.sampler.validate(&self.process)
    }
}

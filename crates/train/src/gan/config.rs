//! Settings of a GAN: networks, optimisers, losses, augmentation.

use serde::{Deserialize, Serialize};

use super::{Game, GrowthConfig, Networks};
use crate::TrainError;
use crate::config::require;
use crate::generator::GeneratorConfig;

/// The part of a generator's configuration that is a GAN's own; `N` are the sizes of its networks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GanConfig<N> {
    /// Sizes of the networks.
    pub network: N,
    /// Steps along the gradient.
    pub optimiser: OptimiserConfig,
    /// Losses and penalties.
    pub loss: LossConfig,
    /// Augmentation of what the discriminator sees.
    pub augment: AugmentConfig,
    /// Growing from small images to large ones; for networks that can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub growth: Option<GrowthConfig>,
}

/// How a GAN is trained, whatever its networks.
#[derive(Clone, Debug, PartialEq)]
pub struct GanRules {
    /// Steps along the gradient.
    pub optimiser: OptimiserConfig,
    /// Losses and penalties.
    pub loss: LossConfig,
    /// Augmentation of what the discriminator sees.
    pub augment: AugmentConfig,
    /// Growing from small images to large ones.
    pub growth: Option<GrowthConfig>,
}

/// A GAN's settings, whichever its networks.
pub trait GanSettings {
    /// Its networks.
    fn networks(&self) -> &dyn Networks;

    /// How they are trained.
    fn rules(&self) -> GanRules;
}

impl<N: Networks> GanSettings for GanConfig<N> {
    fn networks(&self) -> &dyn Networks {
        &self.network
    }

    fn rules(&self) -> GanRules {
        GanRules {
            optimiser: self.optimiser.clone(),
            loss: self.loss.clone(),
            augment: self.augment.clone(),
            growth: self.growth.clone(),
        }
    }
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
    /// Weight lambda of WGAN-GP's gradient penalty, between real and generated images; 0 turns it off.
    pub gp_weight: f64,
    /// Weight of the squared scores of real images, which keeps Wasserstein scores from drifting.
    pub drift: f64,
    /// Deviation in pixels of a filter on all that the discriminator sees at first; 0 turns it off.
    pub blur_sigma: f64,
    /// Images in which that filter fades away.
    pub blur_images: f64,
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
    /// Steps from one extra step of the generator, for its penalty, to the next; 0 when there is none.
    pub(super) fn generator_interval(&self) -> u64 {
        if self.path_length_weight > 0.0 { self.path_length_interval } else { 0 }
    }

    /// Steps from one extra step of the discriminator, for its penalties, to the next; 0 when there is none, or when
    /// they are part of every step.
    pub(super) fn discriminator_interval(&self) -> u64 {
        let penalised = self.r1_gamma > 0.0 || self.r2_gamma > 0.0;
        if penalised && self.r1_interval > 1 { self.r1_interval } else { 0 }
    }

    /// Deviation of the filter on what the discriminator sees, in pixels.
    pub(super) fn blur_at(&self, images_seen: u64) -> f64 {
        if self.blur_sigma == 0.0 {
            return 0.0;
        }
        self.blur_sigma * (1.0 - images_seen as f64 / self.blur_images).max(0.0)
    }

    fn validate(&self, networks: &dyn Networks) -> Result<(), TrainError> {
        for (key, value) in [
            ("loss.r1_gamma", self.r1_gamma),
            ("loss.r2_gamma", self.r2_gamma),
            ("loss.path_length_weight", self.path_length_weight),
            ("loss.gp_weight", self.gp_weight),
            ("loss.drift", self.drift),
        ] {
            require((0.0..1e6).contains(&value), key, "0 or more", value)?;
        }
        for (key, value) in
            [("loss.r1_interval", self.r1_interval), ("loss.path_length_interval", self.path_length_interval)]
        {
            require(value >= 1, key, "1 or more", value)?;
        }
        let slopes = self.gp_weight == 0.0 && self.drift == 0.0;
        let found = format!("{} with drift {}", self.gp_weight, self.drift);
        let expected = "0, as the drift, unless the game is wasserstein";
        require(self.game == Game::Wasserstein || slopes, "loss.gp_weight", expected, found)?;
        let (weight, mixing) = (self.path_length_weight, self.style_mixing);
        let lengths = weight == 0.0 || networks.has_path_lengths();
        require(lengths, "loss.path_length_weight", "0 for these networks", weight)?;
        require((0.0..=1.0).contains(&mixing), "loss.style_mixing", "0 to 1", mixing)?;
        let styles = mixing == 0.0 || networks.has_styles();
        require(styles, "loss.style_mixing", "0 for networks without styles", mixing)?;
        require((0.0..=100.0).contains(&self.blur_sigma), "loss.blur_sigma", "0 to 100", self.blur_sigma)?;
        let fades = self.blur_images > 0.0 || self.blur_sigma == 0.0;
        require(fades, "loss.blur_images", "more than 0", self.blur_images)
    }
}

impl<N: Networks> GanConfig<N> {
    /// Checks every value, beside those that all generators share.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub fn validate(&self, common: &GeneratorConfig) -> Result<(), TrainError> {
        for (key, value, range) in self.network.sizes() {
            require(range.contains(&value), key, &format!("{} to {}", range.start(), range.end()), value)?;
        }
        let least = self.network.least_resolution();
        let large_enough = common.resolution >= least;
        require(large_enough, "resolution", &format!("{least} or more"), common.resolution)?;
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
        self.loss.validate(&self.network)?;
        let augment = &self.augment;
        require(augment.interval >= 1, "augment.interval", "1 or more", augment.interval)?;
        require((0.0..=0.8).contains(&augment.strength), "augment.strength", "0 to 0.8", augment.strength)?;
        require((-1.0..=1.0).contains(&augment.target), "augment.target", "-1 to 1", augment.target)?;
        require(augment.ramp_images > 0.0, "augment.ramp_images", "more than 0", augment.ramp_images)?;
        let still = augment.mode != AugmentMode::None || augment.strength == 0.0;
        require(still, "augment.strength", "0 where augment.mode is none", augment.strength)?;
        let fits = self.network.grows() || self.growth.is_none();
        require(fits, "growth", "none: these networks do not grow", "some")?;
        let mut batches = vec![common.batch as u64];
        if let Some(growth) = &self.growth {
            growth.validate(common)?;
            batches.extend(&growth.batches);
        }
        let group = self.network.minibatch_group() as u64;
        let divides = batches.iter().all(|&batch| batch < group || batch.is_multiple_of(group));
        require(divides, "network.mbstd_group", "a divisor of the batch", group)
    }
}

//! Everything that changes while a GAN trains.

use synthmr_nets::engine::Parameters;
use synthmr_nets::generators::gan::{Discriminator, Generator};
use tch::{Device, Kind, Tensor};

use super::{GanRules, GanSource, Networks, Place};
use crate::replicas::Replicas;
use synthmr_nets::optimiser::Adam;

/// Seeds of the two networks' initial weights differ, so that equal names do not give equal values.
const DISCRIMINATOR_SEED_OFFSET: u64 = 1 << 32;

/// The state of a training run.
pub struct GanState {
    /// The generator that learns.
    pub generator: Replicas<Box<dyn Generator>>,
    /// Its opponent.
    pub discriminator: Replicas<Box<dyn Discriminator>>,
    /// Moving average of the generator's weights.
    pub average: GanSource,
    /// Optimiser of the generator.
    pub generator_adam: Adam,
    /// Optimiser of the discriminator.
    pub discriminator_adam: Adam,
    /// Strength of augmentation.
    pub strength: f64,
    /// Sum of mean signs of D's logits on real images since the strength was last adjusted; a scalar.
    pub sign_sum: Tensor,
    /// Steps in that sum.
    pub sign_count: u64,
    /// Running mean of path lengths; a scalar.
    pub path_length_mean: Tensor,
}

impl GanState {
    /// The state before the first step, on `devices`, of which the place's is the first.
    pub fn new(rules: &GanRules, networks: &dyn Networks, place: &Place, devices: &[Device]) -> Self {
        let generator = |device| networks.generator(&Place { device, ..*place });
        let generator = Replicas::new(devices, generator, |generator| generator.parameters());
        let average = GanSource::new(networks, place);
        average.generator.parameters().set_requires_grad(false);
        let seed = place.seed.wrapping_add(DISCRIMINATOR_SEED_OFFSET);
        let discriminator = |device| networks.discriminator(&Place { seed, device, ..*place });
        let discriminator = Replicas::new(devices, discriminator, |discriminator| discriminator.parameters());
        let loss = &rules.loss;
        let generator_adam = new_adam(rules, generator.parameters(), loss.generator_interval());
        let discriminator_adam = new_adam(rules, discriminator.parameters(), loss.discriminator_interval());
        let device = place.device;
        let scalar = || Tensor::zeros([], (Kind::Float, device));
        Self {
            generator,
            discriminator,
            average,
            generator_adam,
            discriminator_adam,
            strength: rules.augment.strength,
            sign_sum: scalar(),
            sign_count: 0,
            path_length_mean: scalar(),
        }
    }

    /// Grows all networks to a level of detail.
    pub(super) fn grow(&self, lod: f64) {
        let generators = self.generator.iter().map(|generator| generator.growing());
        let discriminators = self.discriminator.iter().map(|discriminator| discriminator.growing());
        let networks = generators.chain(discriminators).chain([self.average.generator.growing()]);
        networks.flatten().for_each(|growing| growing.set_lod(lod));
    }

    /// Begins both optimisers anew.
    pub(super) fn forget_moments(&mut self) {
        self.generator_adam.reset();
        self.discriminator_adam.reset();
    }
}

/// Lazy regularisation (Karras et al. 2020, section 3.1): a penalty applied every k-th step is k times as strong, and
/// the extra steps it causes are made up for by c = k / (k + 1) in Adam.
fn new_adam(rules: &GanRules, parameters: &Parameters, interval: u64) -> Adam {
    let (c, optimiser) = (lazy_ratio(interval), &rules.optimiser);
    Adam::new(parameters, optimiser.beta1.powf(c), optimiser.beta2.powf(c), optimiser.epsilon)
}

/// `k / (k + 1)` for a penalty with a step of its own every `k` steps; 1 when there is none.
pub(super) fn lazy_ratio(interval: u64) -> f64 {
    if interval == 0 { 1.0 } else { interval as f64 / (interval as f64 + 1.0) }
}

//! Everything that changes while a GAN trains.

use synthmr_nets::engine::{Parameters, Precision};
use synthmr_nets::generators::stylegan2::{Discriminator, Generator};
use tch::{Device, Kind, Tensor};

use super::GanConfig;
use crate::generator::GeneratorConfig;
use crate::optimiser::Adam;

/// Seeds of the two networks' initial weights differ, so that equal names do not give equal values.
const DISCRIMINATOR_SEED_OFFSET: u64 = 1 << 32;

/// The state of a training run.
pub struct GanState {
    /// The generator that learns.
    pub generator: Generator,
    /// Its opponent.
    pub discriminator: Discriminator,
    /// Moving average of the generator's weights.
    pub average: Generator,
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
    /// The state before the first step.
    pub fn new(
        config: &GeneratorConfig,
        gan: &GanConfig,
        planes: i64,
        device: Device,
        precision: Precision,
    ) -> Self {
        let network = gan.network(config.resolution, planes);
        let generator = Generator::new(&network, config.seed, device, precision);
        let average = Generator::new(&network, config.seed, device, precision);
        average.parameters.set_requires_grad(false);
        let seed = config.seed.wrapping_add(DISCRIMINATOR_SEED_OFFSET);
        let discriminator = Discriminator::new(&network, seed, device, precision);
        let optimiser = &gan.optimiser;
        let loss = &gan.loss;
        // Lazy regularisation (Karras et al. 2020, section 3.1): a penalty applied every k-th step is k times
        // as strong, and the extra steps it causes are made up for by c = k / (k + 1) in Adam.
        let adam = |parameters: &Parameters, interval: u64| {
            let c = lazy_ratio(interval);
            Adam::new(parameters, optimiser.beta1.powf(c), optimiser.beta2.powf(c), optimiser.epsilon)
        };
        let generator_adam = adam(&generator.parameters, loss.generator_interval());
        let discriminator_adam = adam(&discriminator.parameters, loss.discriminator_interval());
        let scalar = || Tensor::zeros([], (Kind::Float, device));
        Self {
            generator,
            discriminator,
            average,
            generator_adam,
            discriminator_adam,
            strength: gan.augment.strength,
            sign_sum: scalar(),
            sign_count: 0,
            path_length_mean: scalar(),
        }
    }
}

/// `k / (k + 1)` for a penalty every `k` steps; 1 when there is none.
pub(super) fn lazy_ratio(interval: u64) -> f64 {
    if interval == 0 { 1.0 } else { interval as f64 / (interval as f64 + 1.0) }
}

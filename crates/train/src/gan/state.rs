//! Everything that changes while a GAN trains, and its form in a checkpoint.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use synthmr_nets::engine::{Parameters, Precision};
use synthmr_nets::generators::stylegan2::{Discriminator, Generator};
use tch::{Device, Kind, Tensor};

use super::GeneratorConfig;
use super::means::Means;
use crate::TrainError;
use crate::checkpoint::Checkpoint;
use crate::optimiser::Adam;

/// Seeds of the two networks' initial weights differ, so that equal names do not give equal values.
const DISCRIMINATOR_SEED_OFFSET: u64 = 1 << 32;

/// Names of the parts of a checkpoint.
const GENERATOR: &str = "generator.";
const DISCRIMINATOR: &str = "discriminator.";
/// The averaged generator, the one that images are sampled from.
pub(crate) const AVERAGE: &str = "average.";
const GENERATOR_ADAM: &str = "generator_adam.";
const DISCRIMINATOR_ADAM: &str = "discriminator_adam.";
const PATH_LENGTH_MEAN: &str = "path_length_mean";
const SIGN_SUM: &str = "sign_sum";

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
    /// Real images shown so far.
    pub images_seen: u64,
    /// Strength of augmentation.
    pub strength: f64,
    /// Sum of mean signs of D's logits on real images since the strength was last adjusted; a scalar.
    pub sign_sum: Tensor,
    /// Steps in that sum.
    pub sign_count: u64,
    /// Running mean of path lengths; a scalar.
    pub path_length_mean: Tensor,
    /// What the steps measured since the last tick.
    pub means: Means,
}

/// The part of the state that is not tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counters {
    generator_steps: u64,
    discriminator_steps: u64,
    strength: f64,
    sign_count: u64,
    means: BTreeMap<String, (f64, u64)>,
}

impl GanState {
    /// The state before the first step.
    pub fn new(config: &GeneratorConfig, planes: i64, device: Device, precision: Precision) -> Self {
        let network = config.network(planes);
        let generator = Generator::new(&network, config.seed, device, precision);
        let average = Generator::new(&network, config.seed, device, precision);
        average.parameters.set_requires_grad(false);
        let seed = config.seed.wrapping_add(DISCRIMINATOR_SEED_OFFSET);
        let discriminator = Discriminator::new(&network, seed, device, precision);
        let optimiser = &config.optimiser;
        let loss = &config.loss;
        // Lazy regularisation (Karras et al. 2020, section 3.1): a penalty applied every k-th step is k times
        // as strong, and the extra steps it causes are made up for by c = k / (k + 1) in Adam.
        let adam = |parameters: &Parameters, interval: u64| {
            let c = lazy_ratio(interval);
            Adam::new(parameters, optimiser.beta1.powf(c), optimiser.beta2.powf(c), optimiser.epsilon)
        };
        let path_interval = if loss.path_length_weight > 0.0 { loss.path_length_interval } else { 0 };
        let generator_adam = adam(&generator.parameters, path_interval);
        let discriminator_adam = adam(&discriminator.parameters, loss.r1_interval);
        let scalar = || Tensor::zeros([], (Kind::Float, device));
        Self {
            generator,
            discriminator,
            average,
            generator_adam,
            discriminator_adam,
            images_seen: 0,
            strength: config.augment.strength,
            sign_sum: scalar(),
            sign_count: 0,
            path_length_mean: scalar(),
            means: Means::default(),
        }
    }

    /// The state as it is saved.
    pub fn checkpoint(&self) -> Checkpoint {
        let counters = Counters {
            generator_steps: self.generator_adam.steps(),
            discriminator_steps: self.discriminator_adam.steps(),
            strength: self.strength,
            sign_count: self.sign_count,
            means: self.means.saved(),
        };
        let mut tensors = BTreeMap::new();
        for (prefix, tensor_name, tensor) in self.tensors() {
            tensors.insert(format!("{prefix}{tensor_name}"), tensor.detach());
        }
        #[expect(clippy::expect_used, reason = "a struct of numbers has a JSON form")]
        let state = serde_json::to_value(counters).expect("counters serialise");
        Checkpoint { images_seen: self.images_seen, state, tensors }
    }

    /// Continues from a checkpoint; `folder` is named in errors.
    ///
    /// # Errors
    /// [`TrainError::State`] when a part is missing, [`TrainError::Weights`] when weights do not fit.
    pub fn restore(&mut self, mut checkpoint: Checkpoint, folder: &Path) -> Result<(), TrainError> {
        let missing = |part: &str| TrainError::State { path: folder.to_owned(), part: part.to_owned() };
        for (prefix, parameters) in [
            (GENERATOR, &self.generator.parameters),
            (DISCRIMINATOR, &self.discriminator.parameters),
            (AVERAGE, &self.average.parameters),
        ] {
            parameters
                .load(&checkpoint.take(prefix))
                .map_err(|source| TrainError::Weights { path: folder.to_owned(), source })?;
        }
        for (prefix, name, tensor) in self.tensors() {
            let is_network = [GENERATOR, DISCRIMINATOR, AVERAGE].contains(&prefix);
            if !is_network {
                let key = format!("{prefix}{name}");
                let found = checkpoint.tensors.remove(&key);
                let found = found.filter(|found| found.size() == tensor.size());
                tensor.shallow_clone().copy_(&found.ok_or_else(|| missing(&key))?);
            }
        }
        let counters: Counters = serde_json::from_value(checkpoint.state).map_err(|_| missing("counters"))?;
        self.generator_adam.set_steps(counters.generator_steps);
        self.discriminator_adam.set_steps(counters.discriminator_steps);
        self.strength = counters.strength;
        self.sign_count = counters.sign_count;
        self.means = Means::restored(counters.means, self.sign_sum.device());
        self.images_seen = checkpoint.images_seen;
        Ok(())
    }

    /// True when every weight and every moment is a finite number.
    pub fn is_finite(&self) -> bool {
        let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) != 0;
        let weights = [&self.generator.parameters, &self.discriminator.parameters];
        let moments = self.generator_adam.state().into_iter().chain(self.discriminator_adam.state());
        weights.into_iter().all(|p| finite(p.flat())) && moments.into_iter().all(|(_, moment)| finite(moment))
    }

    /// Every tensor of the state: prefix, name, value.
    fn tensors(&self) -> Vec<(&'static str, &str, &Tensor)> {
        let mut all = Vec::new();
        for (prefix, parameters) in [
            (GENERATOR, &self.generator.parameters),
            (DISCRIMINATOR, &self.discriminator.parameters),
            (AVERAGE, &self.average.parameters),
        ] {
            all.extend(parameters.all().map(|(name, tensor)| (prefix, name, tensor)));
        }
        for (prefix, adam) in
            [(GENERATOR_ADAM, &self.generator_adam), (DISCRIMINATOR_ADAM, &self.discriminator_adam)]
        {
            all.extend(adam.state().map(|(name, tensor)| (prefix, name, tensor)));
        }
        all.push(("", PATH_LENGTH_MEAN, &self.path_length_mean));
        all.push(("", SIGN_SUM, &self.sign_sum));
        all
    }
}

/// `k / (k + 1)` for a penalty every `k` steps; 1 when there is none.
pub(super) fn lazy_ratio(interval: u64) -> f64 {
    if interval == 0 { 1.0 } else { interval as f64 / (interval as f64 + 1.0) }
}

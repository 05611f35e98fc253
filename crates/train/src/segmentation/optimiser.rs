//! How a segmenter's weights move: the study's two recipes, SGD for U-Nets and AdamW for Swin.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use synthmr_nets::engine::Parameters;
use tch::Tensor;

use crate::TrainError;
use crate::config::require;
use synthmr_nets::optimiser::{AdamW, Sgd};

/// The schedule of the learning rate, and the method.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OptimiserConfig {
    /// Learning rate before decay.
    pub rate: f64,
    /// Images over which the rate rises linearly from nothing; 0 for none.
    pub warmup_images: f64,
    /// The rate after a share s of the training is `rate * (1 - s)^poly_power`.
    pub poly_power: f64,
    /// SGD: L2 penalty added to the gradient. AdamW: share of the weights that a step takes away, times the rate; not from
    /// norms and position biases.
    pub weight_decay: f64,
    /// Largest Euclidean norm of the gradient; larger ones are scaled down to it. 0 for no limit.
    pub gradient_norm: f64,
    /// What a gradient does.
    #[serde(flatten)]
    pub method: Method,
}

/// Methods; the key `kind` names them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase")]
pub enum Method {
    /// Stochastic gradient descent.
    Sgd {
        /// Nesterov momentum.
        momentum: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019).
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        epsilon: f64,
    },
}

impl OptimiserConfig {
    /// The learning rate of the step of `batch` images that begins after `images_seen` of `total`.
    pub fn rate_at(&self, images_seen: u64, batch: i64, total: u64) -> f64 {
        let done = images_seen as f64 / total as f64;
        let decayed = self.rate * (1.0 - done).max(0.0).powf(self.poly_power);
        let risen = (images_seen as f64 + batch as f64) / self.warmup_images.max(f64::MIN_POSITIVE);
        decayed * risen.min(1.0)
    }

    pub(super) fn validate(&self) -> Result<(), TrainError> {
        let Self { rate, warmup_images, poly_power, weight_decay, gradient_norm, .. } = *self;
        require(rate > 0.0 && rate <= 10.0, "optimiser.rate", "more than 0, at most 10", rate)?;
        let warmup = (0.0..=1e9).contains(&warmup_images);
        require(warmup, "optimiser.warmup_images", "0 to 1e9", warmup_images)?;
        require((0.0..=10.0).contains(&poly_power), "optimiser.poly_power", "0 to 10", poly_power)?;
        let below_one = "0 to less than 1";
        require((0.0..1.0).contains(&weight_decay), "optimiser.weight_decay", below_one, weight_decay)?;
        let limit = gradient_norm >= 0.0 && gradient_norm.is_finite();
        require(limit, "optimiser.gradient_norm", "0 or more", gradient_norm)?;
        match self.method {
            Method::Sgd { momentum } => {
                require((0.0..1.0).contains(&momentum), "optimiser.momentum", below_one, momentum)
            }
            Method::AdamW { beta1, beta2, epsilon } => {
                require((0.0..1.0).contains(&beta1), "optimiser.beta1", below_one, beta1)?;
                require((0.0..1.0).contains(&beta2), "optimiser.beta2", below_one, beta2)?;
                let small = epsilon > 0.0 && epsilon <= 1.0;
                require(small, "optimiser.epsilon", "more than 0, at most 1", epsilon)
            }
        }
    }

    /// The state before the first step.
    pub(super) fn begin(&self, parameters: &Parameters) -> Optimiser {
        match self.method {
            Method::Sgd { momentum } => Optimiser::Sgd(Sgd::new(parameters, momentum, self.weight_decay)),
            Method::AdamW { beta1, beta2, epsilon } => {
                let norms = norms(parameters);
                let decays =
                    |name: &str| !(norms.contains(layer(name)) || name.contains("relative_position_bias"));
                let decay = |name: &str| if decays(name) { self.weight_decay } else { 0.0 };
                Optimiser::AdamW(AdamW::new(parameters, [beta1, beta2], epsilon, decay))
            }
        }
    }
}

/// The layer that a parameter belongs to.
fn layer(name: &str) -> &str {
    name.rsplit_once('.').map_or("", |(layer, _)| layer)
}

/// Layers that normalise: their weight is a gain a channel, while those of convolutions and linear layers have two
/// dimensions and more. mmsegmentation goes by names, which leaves out the batch norms of UPerNet.
fn norms(parameters: &Parameters) -> BTreeSet<String> {
    let gains = parameters.trainable().filter(|(name, value)| name.ends_with("weight") && value.dim() == 1);
    gains.map(|(name, _)| layer(name).to_owned()).collect()
}

/// The state of a method.
pub(super) enum Optimiser {
    Sgd(Sgd),
    AdamW(AdamW),
}

impl Optimiser {
    /// One step along the current gradient.
    pub(super) fn step(&mut self, parameters: &Parameters, rate: f64) {
        match self {
            Optimiser::Sgd(sgd) => sgd.step(parameters, rate),
            Optimiser::AdamW(adam) => adam.step(parameters, rate),
        }
    }

    /// The tensors of the state with their names.
    pub(super) fn state(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Optimiser::Sgd(sgd) => sgd.state().into(),
            Optimiser::AdamW(adam) => adam.state().into(),
        }
    }

    /// Steps that the method has to count, for a checkpoint.
    pub(super) fn steps(&self) -> u64 {
        match self {
            Optimiser::Sgd(_) => 0,
            Optimiser::AdamW(adam) => adam.steps(),
        }
    }

    /// As [`Self::steps`] said when the checkpoint was made.
    pub(super) fn set_steps(&mut self, steps: u64) {
        if let Optimiser::AdamW(adam) = self {
            adam.set_steps(steps);
        }
    }
}

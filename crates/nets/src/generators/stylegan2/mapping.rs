//! The mapping network: latent z to intermediate latent w (Karras et al. 2019, section 2).

use tch::Tensor;

use super::StyleGan2Config;
use crate::engine::{Init, Scope};
use crate::layers::{Activation, EqualisedLinear};

/// The mapping network learns a hundred times more slowly than the rest (2019, appendix C).
const LR_MULTIPLIER: f64 = 0.01;

/// How slowly the tracked mean of w follows the batches.
const MEAN_DECAY: f64 = 0.995;

/// A multilayer perceptron `[n, z_dim] -> [n, w_dim]`.
pub struct Mapping {
    z_dim: i64,
    layers: Vec<EqualisedLinear>,
    /// Tracked mean of w, `[w_dim]`.
    mean: Tensor,
}

impl Mapping {
    /// Builds the layers under `scope`.
    pub fn new(mut scope: Scope<'_>, config: &StyleGan2Config) -> Self {
        let layers = (0..config.mapping_layers)
            .map(|i| {
                let inputs = if i == 0 { config.z_dim } else { config.w_dim };
                let scope = scope.sub(&format!("fc{i}"));
                EqualisedLinear::new(scope, inputs, config.w_dim, Activation::LeakyRelu, LR_MULTIPLIER, 0.0)
            })
            .collect();
        Self {
            z_dim: config.z_dim,
            layers,
            mean: scope.buffer("w_avg", &[config.w_dim], Init::Constant(0.0)),
        }
    }

    /// Length of the latent z.
    pub fn z_dim(&self) -> i64 {
        self.z_dim
    }

    /// `[n, z_dim] -> [n, w_dim]`; z is first scaled to unit mean square.
    pub fn forward(&self, z: &Tensor) -> Tensor {
        let power = z.square().mean_dim([1i64].as_slice(), true, z.kind());
        let normalised = z * (power + 1e-8).rsqrt();
        self.layers.iter().fold(normalised, |x, layer| layer.forward(&x))
    }

    /// Lets the tracked mean follow a batch of w `[n, w_dim]`.
    pub fn track_mean(&self, w: &Tensor) {
        tch::no_grad(|| {
            let batch = w.detach().mean_dim([0i64].as_slice(), false, w.kind());
            let _ = self.mean.shallow_clone().lerp_(&batch, 1.0 - MEAN_DECAY);
        });
    }

    /// Moves w towards the tracked mean: `mean + truncation * (w - mean)`.
    pub fn truncated(&self, w: &Tensor, truncation: f64) -> Tensor {
        if truncation == 1.0 { w.shallow_clone() } else { self.mean.lerp(w, truncation) }
    }
}

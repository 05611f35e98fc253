//! The mapping network: latent z to intermediate latent w (Karras et al. 2019, section 2).

use tch::Tensor;

use crate::engine::{Init, Scope};
use crate::layers::{Activation, EqualisedLinear, pixel_norm};

/// The mapping network learns a hundred times more slowly than the rest (2019, appendix C).
const LR_MULTIPLIER: f64 = 0.01;

/// A multilayer perceptron `[n, z_dim] -> [n, w_dim]`.
pub struct Mapping {
    z_dim: i64,
    layers: Vec<EqualisedLinear>,
    /// Tracked mean of w, `[w_dim]`.
    mean: Tensor,
}

impl Mapping {
    /// Builds `layers` fully connected layers under `scope`.
    pub fn new(mut scope: Scope<'_>, z_dim: i64, w_dim: i64, layers: i64, activation: Activation) -> Self {
        let layers = (0..layers)
            .map(|i| {
                let inputs = if i == 0 { z_dim } else { w_dim };
                let scope = scope.sub(&format!("fc{i}"));
                EqualisedLinear::new(scope, inputs, w_dim, activation, LR_MULTIPLIER, 0.0)
            })
            .collect();
        Self { z_dim, layers, mean: scope.buffer("w_avg", &[w_dim], Init::Constant(0.0)) }
    }

    /// Length of the latent z.
    pub fn z_dim(&self) -> i64 {
        self.z_dim
    }

    /// `[n, z_dim] -> [n, w_dim]`; z is first scaled to unit mean square.
    pub fn forward(&self, z: &Tensor) -> Tensor {
        self.layers.iter().fold(pixel_norm(z), |x, layer| layer.forward(&x))
    }

    /// Tracked mean of w, `[w_dim]`.
    pub fn mean(&self) -> &Tensor {
        &self.mean
    }
}

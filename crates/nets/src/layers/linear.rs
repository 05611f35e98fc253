//! A plain fully connected layer with bias, as PyTorch initialises it.

use tch::Tensor;

use crate::engine::{Init, Scope};

/// `[n, inputs] -> [n, outputs]`.
pub struct Linear {
    weight: Tensor,
    bias: Tensor,
}

impl Linear {
    /// Weights and bias uniform within `1 / sqrt(inputs)`, PyTorch's default.
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self {
            weight: scope.parameter("weight", &[outputs, inputs], Init::Uniform(bound)),
            bias: scope.parameter("bias", &[outputs], Init::Uniform(bound)),
        }
    }

    /// Computes in the kind of the parameters.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        x.linear(&self.weight, Some(&self.bias))
    }
}

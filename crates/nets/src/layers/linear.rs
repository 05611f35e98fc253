//! A plain fully connected layer.

use tch::Tensor;

use crate::engine::{Init, Scope};

/// `[..., inputs] -> [..., outputs]`.
pub struct Linear {
    weight: Tensor,
    bias: Option<Tensor>,
}

impl Linear {
    /// Weights and bias uniform within `1 / sqrt(inputs)`, PyTorch's default.
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let bound = 1.0 / (inputs as f64).sqrt();
        Self {
            weight: scope.parameter("weight", &[outputs, inputs], Init::Uniform(bound)),
            bias: Some(scope.parameter("bias", &[outputs], Init::Uniform(bound))),
        }
    }

    /// Weights normal with a standard deviation of 0.02 and a bias of zero, as in transformers.
    pub fn transformer(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let weight = scope.parameter("weight", &[outputs, inputs], Init::Normal(0.02));
        let bias = Some(scope.parameter("bias", &[outputs], Init::Constant(0.0)));
        Self { weight, bias }
    }

    /// As [`Self::transformer`], without bias.
    pub fn transformer_without_bias(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        Self { weight: scope.parameter("weight", &[outputs, inputs], Init::Normal(0.02)), bias: None }
    }

    /// Computes in the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let bias = self.bias.as_ref().map(|bias| bias.to_kind(x.kind()));
        x.linear(&self.weight.to_kind(x.kind()), bias.as_ref())
    }
}

//! Layer normalisation (Ba, Kiros and Hinton 2016).

use tch::{Device, Tensor};

use crate::engine::{Init, Scope};

/// Added to the variance before its root, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// `[..., features] -> ` the same, each vector with mean 0 and variance 1, then a gain and an offset a feature.
/// Statistics are in f32 (or f64) whatever the kind of the input.
pub struct LayerNorm {
    weight: Tensor,
    bias: Tensor,
}

impl LayerNorm {
    /// Gains of 1 and offsets of 0.
    pub fn new(mut scope: Scope<'_>, features: i64) -> Self {
        Self {
            weight: scope.parameter("weight", &[features], Init::Constant(1.0)),
            bias: scope.parameter("bias", &[features], Init::Constant(0.0)),
        }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        // libtorch's CPU kernel mixes bf16 features with f32 parameters; its CUDA kernel wants one kind, and keeps the
        // statistics in f32 by itself.
        let kind = if x.device() == Device::Cpu { self.weight.kind() } else { x.kind() };
        let (weight, bias) = (self.weight.to_kind(kind), self.bias.to_kind(kind));
        x.layer_norm(self.weight.size(), Some(&weight), Some(&bias), EPSILON, true)
    }
}

//! Group normalisation (Wu and He 2018).

use tch::{Device, Tensor};

use crate::engine::{Init, Scope};

/// Added to the variance before its root, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// `[n, channels, ...] -> ` the same, each group of channels with mean 0 and variance 1, then a gain and an
/// offset a channel. Statistics are in f32 (or f64) whatever the kind of the input.
pub struct GroupNorm {
    weight: Tensor,
    bias: Tensor,
    groups: i64,
}

impl GroupNorm {
    /// Gains of 1 and offsets of 0; `groups` divides `channels`.
    pub fn new(mut scope: Scope<'_>, channels: i64, groups: i64) -> Self {
        Self {
            weight: scope.parameter("weight", &[channels], Init::Constant(1.0)),
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0)),
            groups,
        }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        // libtorch's CPU kernel mixes bf16 images with f32 parameters; its CUDA kernel wants one kind, and keeps the
        // statistics in f32 by itself.
        let kind = if x.device() == Device::Cpu { self.weight.kind() } else { x.kind() };
        let (weight, bias) = (self.weight.to_kind(kind), self.bias.to_kind(kind));
        x.group_norm(self.groups, Some(&weight), Some(&bias), EPSILON, true)
    }
}

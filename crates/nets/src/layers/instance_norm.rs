//! Instance normalisation (Ulyanov, Vedaldi and Lempitsky 2016).

use tch::{Device, Tensor};

use crate::engine::{Init, Scope};

/// Added to the variance before its root, as in PyTorch.
const EPSILON: f64 = 1e-5;

/// `[n, channels, h, w] -> ` the same, each channel of each image with mean 0 and variance 1, then a gain and an offset
/// a channel. Mean and variance are computed in f32 (or f64) whatever the kind of the input.
pub struct InstanceNorm {
    weight: Tensor,
    bias: Tensor,
}

impl InstanceNorm {
    /// Gains of 1 and offsets of 0.
    pub fn new(scope: Scope<'_>, channels: i64) -> Self {
        Self::with_gain(scope, channels, 1.0)
    }

    /// Gains and offsets of 0: the last layer of a residual branch.
    pub fn zero(scope: Scope<'_>, channels: i64) -> Self {
        Self::with_gain(scope, channels, 0.0)
    }

    fn with_gain(mut scope: Scope<'_>, channels: i64, gain: f64) -> Self {
        Self {
            weight: scope.parameter("weight", &[channels], Init::Constant(gain)),
            bias: scope.parameter("bias", &[channels], Init::Constant(0.0)),
        }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let (weight, bias) = (Some(&self.weight), Some(&self.bias));
        if x.device() == Device::Cpu {
            // With as many groups as channels the two are the same function; libtorch's kernel for groups is
            // the faster one on the CPU, and it alone mixes bf16 images with f32 parameters there.
            return x.group_norm(self.weight.size()[0], weight, bias, EPSILON, true);
        }
        let none = None::<&Tensor>;
        x.instance_norm(weight, bias, none, none, true, 0.0, EPSILON, true)
    }
}

//! A plain convolution with bias, as PyTorch initialises it.

use tch::Tensor;

use crate::engine::{Init, Scope};

/// `[n, inputs, h, w] -> [n, outputs, h', w']`, square kernel.
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    padding: i64,
}

impl Conv2d {
    /// Kaiming-uniform initial values with `a = sqrt(5)`: weights and bias uniform within
    /// `1 / sqrt(fan_in)`, PyTorch's default.
    pub fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, padding: i64) -> Self {
        let bound = 1.0 / ((inputs * kernel * kernel) as f64).sqrt();
        Self {
            weight: scope.parameter("weight", &[outputs, inputs, kernel, kernel], Init::Uniform(bound)),
            bias: scope.parameter("bias", &[outputs], Init::Uniform(bound)),
            padding,
        }
    }

    /// Computes in the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let weight = self.weight.to_kind(x.kind());
        let bias = self.bias.to_kind(x.kind());
        x.conv2d(&weight, Some(&bias), [1, 1], [self.padding, self.padding], [1, 1], 1)
    }
}

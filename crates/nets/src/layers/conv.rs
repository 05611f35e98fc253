//! A plain convolution with bias, as PyTorch initialises it.

use tch::Tensor;

use crate::engine::{Init, Scope};

/// `[n, inputs, h, w] -> [n, outputs, h', w']`, square kernel.
pub struct Conv2d {
    weight: Tensor,
    bias: Tensor,
    padding: i64,
    stride: i64,
}

impl Conv2d {
    /// Kaiming-uniform initial values with `a = sqrt(5)`: weights and bias uniform within
    /// `1 / sqrt(fan_in)`, PyTorch's default.
    pub fn new(scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, padding: i64) -> Self {
        let bound = 1.0 / ((inputs * kernel * kernel) as f64).sqrt();
        Self::with_init(scope, [outputs, inputs, kernel, kernel], padding, Init::Uniform(bound))
    }

    /// Weights and bias begin at zero: the last layer of a residual branch.
    pub fn zero(scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, padding: i64) -> Self {
        Self::with_init(scope, [outputs, inputs, kernel, kernel], padding, Init::Constant(0.0))
    }

    fn with_init(mut scope: Scope<'_>, shape: [i64; 4], padding: i64, init: Init) -> Self {
        let weight = scope.parameter("weight", &shape, init);
        let bias = scope.parameter("bias", &shape[..1], init);
        Self { weight, bias, padding, stride: 1 }
    }

    /// The same layer, evaluated at every `stride`-th pixel of both axes.
    pub fn with_stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// Computes in the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let weight = self.weight.to_kind(x.kind());
        let bias = self.bias.to_kind(x.kind());
        x.conv2d(&weight, Some(&bias), [self.stride, self.stride], [self.padding, self.padding], [1, 1], 1)
    }
}

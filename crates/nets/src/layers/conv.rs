//! A plain convolution.

use tch::Tensor;

use crate::engine::{Init, Scope};

/// `[n, inputs, h, w] -> [n, outputs, h', w']`, square kernel.
pub struct Conv2d {
    weight: Tensor,
    bias: Option<Tensor>,
    padding: i64,
    stride: i64,
}

impl Conv2d {
    /// Kaiming-uniform initial values with `a = sqrt(5)`: weights and bias uniform within
    /// `1 / sqrt(fan_in)`, PyTorch's default.
    pub fn new(scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, padding: i64) -> Self {
        let init = Init::Uniform(1.0 / ((inputs * kernel * kernel) as f64).sqrt());
        Self::with_init(scope, [outputs, inputs, kernel, kernel], padding, init, Some(init))
    }

    /// Weights and bias begin at zero: the last layer of a residual branch.
    pub fn zero(scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, padding: i64) -> Self {
        let init = Init::Constant(0.0);
        Self::with_init(scope, [outputs, inputs, kernel, kernel], padding, init, Some(init))
    }

    /// Weights as `weight` says and a bias of zero; the output is as large as the input.
    pub fn same(scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, weight: Init) -> Self {
        let bias = Some(Init::Constant(0.0));
        Self::with_init(scope, [outputs, inputs, kernel, kernel], kernel / 2, weight, bias)
    }

    /// As [`Self::same`], without bias.
    pub fn same_without_bias(scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64, weight: Init) -> Self {
        Self::with_init(scope, [outputs, inputs, kernel, kernel], kernel / 2, weight, None)
    }

    fn with_init(
        mut scope: Scope<'_>,
        shape: [i64; 4],
        padding: i64,
        weight: Init,
        bias: Option<Init>,
    ) -> Self {
        let weight = scope.parameter("weight", &shape, weight);
        let bias = bias.map(|bias| scope.parameter("bias", &shape[..1], bias));
        Self { weight, bias, padding, stride: 1 }
    }

    /// The same layer, evaluated at every `stride`-th pixel of both axes.
    pub fn with_stride(self, stride: i64) -> Self {
        Self { stride, ..self }
    }

    /// Computes in the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let weight = self.weight.to_kind(x.kind());
        let bias = self.bias.as_ref().map(|bias| bias.to_kind(x.kind()));
        let (stride, padding) = ([self.stride, self.stride], [self.padding, self.padding]);
        x.conv2d(&weight, bias.as_ref(), stride, padding, [1, 1], 1)
    }
}

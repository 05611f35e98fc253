//! Self-attention over the positions of a feature map.

use tch::Tensor;

use crate::engine::{Init, Scope};
use crate::layers::GroupNorm;

/// `[n, c, h, w] -> ` the same: group normalisation, attention with several heads, a residual connection.
pub(super) struct Attention {
    norm: GroupNorm,
    qkv: Projection,
    output: Projection,
    heads: i64,
}

impl Attention {
    /// `heads` and `groups` divide `channels`. The last projection begins at zero.
    pub(super) fn new(mut scope: Scope<'_>, channels: i64, heads: i64, groups: i64) -> Self {
        let bound = 1.0 / (channels as f64).sqrt();
        Self {
            norm: GroupNorm::new(scope.sub("norm"), channels, groups),
            qkv: Projection::new(scope.sub("qkv"), channels, 3 * channels, Init::Uniform(bound)),
            output: Projection::new(scope.sub("proj_out"), channels, channels, Init::Constant(0.0)),
            heads,
        }
    }

    pub(super) fn forward(&self, x: &Tensor) -> Tensor {
        let (n, c, h, w) = x.size4().unwrap_or_else(|_| panic!("features are [n, c, h, w]"));
        let tokens = self.norm.forward(x).permute([0, 2, 3, 1]).reshape([n, h * w, c]);
        // A head's query, key and value lie side by side, the order of guided-diffusion.
        let qkv = self.qkv.forward(&tokens).view([n, h * w, self.heads, 3 * c / self.heads]);
        let qkv = qkv.transpose(1, 2);
        let part = qkv.chunk(3, 3);
        let none = None::<Tensor>;
        let attended =
            Tensor::scaled_dot_product_attention(&part[0], &part[1], &part[2], none, 0.0, false, None, false);
        let output = self.output.forward(&attended.transpose(1, 2).reshape([n, h * w, c]));
        x + output.view([n, h, w, c]).permute([0, 3, 1, 2])
    }
}

/// A convolution over one position, kept with the three axes of guided-diffusion's weights.
struct Projection {
    weight: Tensor,
    bias: Tensor,
}

impl Projection {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, init: Init) -> Self {
        Self {
            weight: scope.parameter("weight", &[outputs, inputs, 1], init),
            bias: scope.parameter("bias", &[outputs], init),
        }
    }

    /// `[n, positions, inputs] -> [n, positions, outputs]`.
    fn forward(&self, tokens: &Tensor) -> Tensor {
        let kind = tokens.kind();
        tokens.linear(&self.weight.squeeze_dim(2).to_kind(kind), Some(&self.bias.to_kind(kind)))
    }
}

//! The pieces of the diffusion U-Net: residual block, and the changes of resolution.

use tch::Tensor;

use crate::engine::Scope;
use crate::layers::{Conv2d, GroupNorm, Linear};

use super::DiffusionUNetConfig;
use super::attention::Attention;

/// Two convolutions around a residual connection; the embedding scales and shifts the features between them
/// (Dhariwal and Nichol 2021, section 3.1, adaptive group normalisation). `[n, i, h, w] -> [n, o, h, w]`.
pub(super) struct ResidualBlock {
    first_norm: GroupNorm,
    first: Conv2d,
    modulation: Linear,
    second_norm: GroupNorm,
    second: Conv2d,
    skip: Option<Conv2d>,
}

impl ResidualBlock {
    pub(super) fn new(mut scope: Scope<'_>, config: &DiffusionUNetConfig, inputs: i64, outputs: i64) -> Self {
        let groups = config.sizes.norm_groups;
        Self {
            first_norm: GroupNorm::new(scope.sub("in_layers.0"), inputs, groups),
            first: Conv2d::new(scope.sub("in_layers.2"), inputs, outputs, 3, 1),
            modulation: Linear::new(scope.sub("emb_layers.1"), config.embedding(), 2 * outputs),
            second_norm: GroupNorm::new(scope.sub("out_layers.0"), outputs, groups),
            second: Conv2d::zero(scope.sub("out_layers.3"), outputs, outputs, 3, 1),
            skip: (inputs != outputs)
                .then(|| Conv2d::new(scope.sub("skip_connection"), inputs, outputs, 1, 0)),
        }
    }

    /// `embedding` is `[n, embedding]` after its activation, in the kind of the parameters.
    fn forward(&self, x: &Tensor, embedding: &Tensor) -> Tensor {
        let h = self.first.forward(&self.first_norm.forward(x).silu());
        let modulation = self.modulation.forward(embedding).to_kind(h.kind());
        let modulation = modulation.unsqueeze(-1).unsqueeze(-1);
        let (scale, shift) =
            (modulation.chunk(2, 1).swap_remove(0) + 1.0, modulation.chunk(2, 1).swap_remove(1));
        let h = shift.addcmul(&self.second_norm.forward(&h), &scale);
        let h = self.second.forward(&h.silu());
        match &self.skip {
            Some(skip) => skip.forward(x) + h,
            None => x + h,
        }
    }
}

/// What follows the residual block of a stage.
pub(super) enum Change {
    /// The same resolution.
    None,
    /// Half of it, by a convolution with stride 2.
    Down(Conv2d),
    /// Twice of it, by repeating pixels, then a convolution.
    Up(Conv2d),
}

/// One entry of guided-diffusion's `input_blocks` or `output_blocks`.
pub(super) struct Stage {
    pub(super) block: Option<ResidualBlock>,
    pub(super) attention: Option<Attention>,
    pub(super) change: Change,
}

impl Stage {
    pub(super) fn forward(&self, x: &Tensor, embedding: &Tensor) -> Tensor {
        let mut x = x.shallow_clone();
        if let Some(block) = &self.block {
            x = block.forward(&x, embedding);
        }
        if let Some(attention) = &self.attention {
            x = attention.forward(&x);
        }
        match &self.change {
            Change::None => x,
            Change::Down(conv) => conv.forward(&x),
            Change::Up(conv) => {
                let size = x.size();
                conv.forward(&x.upsample_nearest2d([2 * size[2], 2 * size[3]], None, None))
            }
        }
    }
}

//! The backbone: Swin Transformer (Liu et al. 2021, figure 3).

use tch::Tensor;

use crate::engine::{Scope, channels_last};
use crate::layers::{Conv2d, LayerNorm, Linear};

use super::SwinUPerNetConfig;
use super::attention::{DropPath, Mlp, WindowAttention};
use super::windows::{Windows, relative_positions};

/// Images `[n, inputs, s, s]` to features of four stages, `[n, c, s / 4, s / 4]` and so on, the features of a position
/// side by side.
pub(super) struct Swin {
    projection: Conv2d,
    norm: LayerNorm,
    stages: Vec<Stage>,
    /// Of pairs within a window.
    relative: Tensor,
    /// Probability to be left out of every residual branch, two a block.
    dropped: Vec<f64>,
}

impl Swin {
    pub(super) fn new(mut scope: Scope<'_>, config: &SwinUPerNetConfig) -> Self {
        let mut swin = scope.sub("swin");
        let projection = swin.sub("embeddings.patch_embeddings.projection");
        let projection = Conv2d::new(projection, config.inputs, config.embedding, 4, 0).with_stride(4);
        let norm = LayerNorm::new(swin.sub("embeddings.norm"), config.embedding);
        let stages: Vec<Stage> = (0..4).map(|stage| Stage::new(&mut scope, config, stage)).collect();
        let blocks: i64 = config.depths.iter().sum();
        let rate = |branch: i64| config.drop_path * (branch / 2) as f64 / (blocks - 1).max(1) as f64;
        let dropped = (0..2 * blocks).map(rate).collect();
        Self {
            projection,
            norm,
            stages,
            relative: relative_positions(config.window, scope.device()),
            dropped,
        }
    }

    /// Computes in the kind of `images`. With `training` residual branches are left out at random.
    pub(super) fn forward(&self, images: &Tensor, training: bool) -> Vec<Tensor> {
        let (n, kind, device) = (images.size()[0], images.kind(), images.device());
        let drops = training && self.dropped.iter().any(|&p| p > 0.0);
        let mut branches =
            Branches { drop_path: drops.then(|| DropPath::draw(&self.dropped, n, kind, device)), next: 0 };
        let patches = self.projection.forward(&channels_last(images)).permute([0, 2, 3, 1]);
        let mut x = self.norm.forward(&patches.flatten(1, 2));
        let mut features = Vec::with_capacity(self.stages.len());
        for stage in &self.stages {
            if let Some(merging) = &stage.merging {
                x = merging.forward(&x, stage.side);
            }
            for block in &stage.blocks {
                x = block.forward(&x, &stage.windows, &self.relative, &mut branches);
            }
            let (side, normed) = (stage.side, stage.norm.forward(&x));
            features.push(normed.view([n, side, side, -1]).permute([0, 3, 1, 2]));
        }
        features
    }
}

/// The residual branches of one pass, in order.
struct Branches {
    drop_path: Option<DropPath>,
    next: i64,
}

impl Branches {
    /// `x` plus the next branch, or what is kept of it.
    fn add(&mut self, x: &Tensor, branch: &Tensor) -> Tensor {
        let number = self.next;
        self.next += 1;
        match &self.drop_path {
            Some(drop_path) => drop_path.add(x, branch, number),
            None => x + branch,
        }
    }
}

/// Blocks on one resolution.
struct Stage {
    /// From the stage before; none for the first.
    merging: Option<PatchMerging>,
    blocks: Vec<Block>,
    /// Without and with shift.
    windows: [Windows; 2],
    /// Of the features that the heads see.
    norm: LayerNorm,
    side: i64,
}

impl Stage {
    /// `scope` is that of the whole backbone.
    fn new(scope: &mut Scope<'_>, config: &SwinUPerNetConfig, stage: usize) -> Self {
        let (features, heads, window) = (config.features(stage), config.heads[stage], config.window);
        let merging = stage.checked_sub(1).map(|before| {
            let name = format!("swin.encoder.layers.{before}.downsample");
            PatchMerging::new(scope.sub(&name), config.features(before))
        });
        let blocks = (0..config.depths[stage]).map(|index| {
            let scope = scope.sub(&format!("swin.encoder.layers.{stage}.blocks.{index}"));
            Block::new(scope, features, heads, window, index % 2 == 1)
        });
        let blocks = blocks.collect();
        let (side, device) = (config.stage_side(stage), scope.device());
        let windows = [0, window / 2].map(|shift| Windows::new(side, window, shift, device));
        let norm = LayerNorm::new(scope.sub(&format!("hidden_states_norms.stage{}", stage + 1)), features);
        Self { merging, blocks, windows, norm, side }
    }
}

/// Attention within windows, then two layers, each behind a normalisation and beside a residual connection (figure 3b,
/// equation 3): `[n, positions, c] -> ` the same.
struct Block {
    attention_norm: LayerNorm,
    attention: WindowAttention,
    mlp_norm: LayerNorm,
    mlp: Mlp,
    shifted: bool,
}

impl Block {
    fn new(mut scope: Scope<'_>, features: i64, heads: i64, window: i64, shifted: bool) -> Self {
        Self {
            attention_norm: LayerNorm::new(scope.sub("layernorm_before"), features),
            attention: WindowAttention::new(scope.sub("attention"), features, heads, window),
            mlp_norm: LayerNorm::new(scope.sub("layernorm_after"), features),
            mlp: Mlp::new(scope.sub("mlp"), features),
            shifted,
        }
    }

    fn forward(
        &self,
        x: &Tensor,
        windows: &[Windows; 2],
        relative: &Tensor,
        branches: &mut Branches,
    ) -> Tensor {
        let windows = &windows[usize::from(self.shifted)];
        let attended = self.attention.forward(&self.attention_norm.forward(x), windows, relative);
        let x = branches.add(x, &attended);
        branches.add(&x, &self.mlp.forward(&self.mlp_norm.forward(&x)))
    }
}

/// 2x2 positions become one with twice the features: `[n, 4 p, c] -> [n, p, 2 c]`.
struct PatchMerging {
    norm: LayerNorm,
    reduction: Linear,
}

impl PatchMerging {
    fn new(mut scope: Scope<'_>, features: i64) -> Self {
        Self {
            norm: LayerNorm::new(scope.sub("norm"), 4 * features),
            reduction: Linear::transformer_without_bias(scope.sub("reduction"), 4 * features, 2 * features),
        }
    }

    /// `side` is that of the output.
    fn forward(&self, x: &Tensor, side: i64) -> Tensor {
        let (n, c) = (x.size()[0], x.size()[2]);
        // The four lie one below the other, then the two columns side by side: the order of the authors.
        let squares = x.view([n, side, 2, side, 2, c]).permute([0, 1, 3, 4, 2, 5]);
        self.reduction.forward(&self.norm.forward(&squares.reshape([n, side * side, 4 * c])))
    }
}

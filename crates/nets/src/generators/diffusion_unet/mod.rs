//! The diffusion U-Net of Dhariwal and Nichol, "Diffusion models beat GANs on image synthesis", NeurIPS 2021
//! (arXiv 2105.05233), with adaptive group normalisation and self-attention at chosen resolutions: the network
//! of the study.
//!
//! Names of parameters are those of guided-diffusion, so that its weights can be exchanged.
//!
//! # Additions
//! With `patch` above 1 squares of pixels become positions of the first level, which is then smaller; with
//! `position` learnt maps are added to the features. Both are off in the published network.

mod attention;
mod blocks;
mod config;

pub use config::{DiffusionUNetConfig, DiffusionUNetSizes};

use tch::{Device, Kind, Tensor};

use crate::engine::{Init, Parameters, ParametersBuilder, Precision, Scope, channels_last};
use crate::layers::{Conv2d, GroupNorm, Linear};

use attention::Attention;
use blocks::{Change, ResidualBlock, Stage};

/// Longest period of the embedding's sinusoids, in units of the noise level's code.
const LONGEST_PERIOD: f64 = 10_000.0;

/// The network: noisy images `[n, planes, r, r]` and a code of their noise level `[n]` to images of that form.
pub struct DiffusionUNet {
    config: DiffusionUNetConfig,
    compute: Kind,
    embedding: (Linear, Linear),
    stem: Conv2d,
    down: Vec<Stage>,
    middle: (Stage, Stage),
    up: Vec<Stage>,
    head_norm: GroupNorm,
    head: Conv2d,
    /// Learnt maps of the first and the lowest level.
    positions: Option<(Tensor, Tensor)>,
    /// All values.
    pub parameters: Parameters,
}

impl DiffusionUNet {
    /// A network with initial weights that are a function of `seed`; the output begins at zero.
    pub fn new(config: &DiffusionUNetConfig, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of features given: f64 for tests.
    pub fn with_kind(
        config: &DiffusionUNetConfig,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let mut root = builder.root();
        let embedding = (
            Linear::new(root.sub("time_embed.0"), config.sizes.channels, config.embedding()),
            Linear::new(root.sub("time_embed.2"), config.embedding(), config.embedding()),
        );
        let levels = config.sizes.multipliers.len();
        let mut features = config.features(0);
        let stem = Conv2d::new(root.sub("input_blocks.0.0"), config.patch_planes(), features, 3, 1);
        let mut skips = vec![features];
        let mut down = Vec::new();
        for level in 0..levels {
            for _ in 0..config.sizes.blocks {
                let scope = root.sub(&format!("input_blocks.{}", skips.len()));
                let outputs = config.features(level);
                down.push(stage(scope, config, level, features, outputs, None));
                features = outputs;
                skips.push(features);
            }
            if level + 1 < levels {
                let name = format!("input_blocks.{}.0.op", skips.len());
                let conv = Conv2d::new(root.sub(&name), features, features, 3, 1).with_stride(2);
                down.push(Stage { block: None, attention: None, change: Change::Down(conv) });
                skips.push(features);
            }
        }
        let (heads, groups) = (config.sizes.heads, config.sizes.norm_groups);
        let mut middle_block = |index: usize| {
            ResidualBlock::new(root.sub(&format!("middle_block.{index}")), config, features, features)
        };
        let (first, last) = (middle_block(0), middle_block(2));
        let attention = Attention::new(root.sub("middle_block.1"), features, heads, groups);
        let middle = (
            Stage { block: Some(first), attention: Some(attention), change: Change::None },
            Stage { block: Some(last), attention: None, change: Change::None },
        );
        let lowest = (features, config.side(levels - 1));
        let mut up = Vec::new();
        for level in (0..levels).rev() {
            for index in 0..=config.sizes.blocks {
                let scope = root.sub(&format!("output_blocks.{}", up.len()));
                let inputs = features + skips.pop().unwrap_or_default();
                features = config.features(level);
                let enlarge = level > 0 && index == config.sizes.blocks;
                up.push(stage(scope, config, level, inputs, features, enlarge.then_some(features)));
            }
        }
        let positions = config.sizes.position.then(|| {
            let mut map = |name: &str, features: i64, side: i64| {
                root.parameter(name, &[1, features, side, side], Init::Constant(0.0))
            };
            (map("position.0", config.features(0), config.side(0)), map("position.1", lowest.0, lowest.1))
        });
        let head_norm = GroupNorm::new(root.sub("out.0"), features, groups);
        let head = Conv2d::zero(root.sub("out.2"), features, config.patch_outputs(), 3, 1);
        Self {
            config: config.clone(),
            compute,
            embedding,
            stem,
            down,
            middle,
            up,
            head_norm,
            head,
            positions,
            parameters: builder.finish(),
        }
    }

    /// What the network was built from.
    pub fn config(&self) -> &DiffusionUNetConfig {
        &self.config
    }

    /// Outputs `[n, outputs, r, r]` from images `[n, planes, r, r]` of the parameters' kind with unit variance and codes of
    /// their noise level `[n]`, which the sinusoids of the embedding expect to be spread over hundreds.
    pub fn forward(&self, images: &Tensor, code: &Tensor) -> Tensor {
        let embedding = self.embed(code).silu();
        let patches = images.pixel_unshuffle(self.config.sizes.patch);
        let placed = |x: &Tensor, map: Option<&Tensor>| match map {
            Some(map) => x + map.to_kind(self.compute),
            None => x.shallow_clone(),
        };
        let patches = patches.to_kind(self.compute);
        // On the CPU the backward pass of group normalisation is slow on channels-last features, and everything else
        // is faster on them: a step of 30.3 M parameters takes 1.03 s in the default form and 1.25 s channels-last, a
        // call without gradients 0.28 s and 0.19 s (64x64, batch 8, bf16, two cores with AMX).
        let patches = if self.parameters.requires_grad() { patches } else { channels_last(&patches) };
        let x = self.stem.forward(&patches);
        let mut x = placed(&x, self.positions.as_ref().map(|(first, _)| first));
        let mut skips = Vec::with_capacity(self.up.len());
        for stage in &self.down {
            let next = stage.forward(&x, &embedding);
            skips.push(std::mem::replace(&mut x, next));
        }
        skips.push(x.shallow_clone());
        // The last skip connection goes without the map: the sum is a tensor of its own.
        x = placed(&x, self.positions.as_ref().map(|(_, lowest)| lowest));
        x = self.middle.0.forward(&x, &embedding);
        x = self.middle.1.forward(&x, &embedding);
        for stage in &self.up {
            let skip = skips.pop().unwrap_or_else(|| panic!("every stage up has its skip connection"));
            x = stage.forward(&Tensor::cat(&[x, skip], 1), &embedding);
        }
        // The last layer is in f32, as in guided-diffusion: eight bits of noise are not enough at high levels.
        let out = self.head.forward(&self.head_norm.forward(&x.to_kind(images.kind())).silu());
        out.pixel_shuffle(self.config.sizes.patch)
    }

    /// Sinusoids of the code at geometrically spaced frequencies, then two layers: `[n] -> [n, embedding]`.
    fn embed(&self, code: &Tensor) -> Tensor {
        let half = self.config.sizes.channels / 2;
        let options = (code.kind(), code.device());
        let exponents = Tensor::arange(half, options) * (-LONGEST_PERIOD.ln() / half as f64);
        let angles = code.unsqueeze(1) * exponents.exp().unsqueeze(0);
        let sinusoids = Tensor::cat(&[angles.cos(), angles.sin()], 1);
        self.embedding.1.forward(&self.embedding.0.forward(&sinusoids).silu())
    }
}

/// A residual block with attention where the configuration wants it; `enlarged` is the number of features
/// that are then doubled in resolution.
fn stage(
    mut scope: Scope<'_>,
    config: &DiffusionUNetConfig,
    level: usize,
    inputs: i64,
    outputs: i64,
    enlarged: Option<i64>,
) -> Stage {
    let attends = config.sizes.attention.contains(&config.side(level));
    let block = ResidualBlock::new(scope.sub("0"), config, inputs, outputs);
    let attention = attends
        .then(|| Attention::new(scope.sub("1"), outputs, config.sizes.heads, config.sizes.norm_groups));
    let index = if attends { 2 } else { 1 };
    let change = match enlarged {
        Some(features) => {
            Change::Up(Conv2d::new(scope.sub(&format!("{index}.conv")), features, features, 3, 1))
        }
        None => Change::None,
    };
    Stage { block: Some(block), attention, change }
}

//! The U-Net with a residual encoder (Isensee et al., "nnU-Net revisited: a call for rigorous validation in 3D medical
//! image segmentation", MICCAI 2024, arXiv 2404.09556), in two dimensions.
//!
//! The encoder is residual networks' (He et al. 2016, with the shortcut of ResNet-D, He et al. 2019): a 3x3 convolution,
//! then stages of blocks, of which the first halves the resolution with a stride. The decoder doubles it with transposed
//! convolutions and has one plain convolution a level behind the concatenation with the encoder's features. Every
//! convolution is followed by instance normalisation and leaky ReLU of slope 0.01. A 1x1 convolution gives logits at
//! every decoder level; those of the lower levels are enlarged bilinearly to the full resolution (deep supervision).
//!
//! Parameters have the names of `ResidualEncoderUNet` in `dynamic_network_architectures` 0.4, so weights can be
//! exchanged with it.
//!
//! # Deviations
//! The reference leaves logits at their own resolution, to be compared with labels made smaller. Here they are enlarged,
//! as those of the other U-Net.

use tch::{Device, Kind, Tensor};

use super::unet::enlarge;
use super::{Mode, Segmenter, halving_weights, pooled};
use crate::engine::{Init, Parameters, ParametersBuilder, Precision, Scope};
use crate::layers::{Conv2d, InstanceNorm};

/// Blocks of the first stages as published; all further ones have the last number.
const PUBLISHED_BLOCKS: [i64; 4] = [1, 3, 4, 6];

/// Sizes of a U-Net with a residual encoder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResEncConfig {
    /// Image channels.
    pub inputs: i64,
    /// Classes, background included.
    pub classes: i64,
    /// Side of images and label maps in pixels.
    pub side: i64,
    /// Filters at the full resolution, doubled at every stage; 32 as published.
    pub base_filters: i64,
    /// Most filters of a stage; 512 as published for two dimensions.
    pub max_filters: i64,
    /// Residual blocks of each stage, the full resolution first; as published 1, 3, 4, 6, 6 and so on.
    pub blocks: Vec<i64>,
}

/// Why a U-Net with a residual encoder cannot be built.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ResEncConfigError {
    /// A size is out of its range.
    #[error("residual-encoder U-Net: expected {name} from {low} to {high}, found {found}")]
    Range {
        /// The value.
        name: &'static str,
        /// Smallest that makes sense.
        low: i64,
        /// Largest that makes sense.
        high: i64,
        /// As given.
        found: i64,
    },
    /// The side of the images cannot be halved often enough.
    #[error(
        "residual-encoder U-Net: expected a side that is a multiple of {multiple} and at least twice that, found \
         {found}\nhint: {stages} stages halve the images {halvings} times; use fewer",
        halvings = stages - 1
    )]
    Side {
        /// What the side has to be divisible by.
        multiple: i64,
        /// As given.
        found: i64,
        /// Stages.
        stages: usize,
    },
}

impl ResEncConfig {
    /// The published sizes with a number of stages.
    pub fn published(inputs: i64, classes: i64, side: i64, stages: usize) -> Self {
        let last = PUBLISHED_BLOCKS.len() - 1;
        let blocks = (0..stages).map(|stage| PUBLISHED_BLOCKS[stage.min(last)]).collect();
        Self { inputs, classes, side, base_filters: 32, max_filters: 512, blocks }
    }

    /// Checks the ranges, and that images of this side can be segmented.
    ///
    /// # Errors
    /// [`ResEncConfigError`] naming the value.
    pub fn validate(&self) -> Result<(), ResEncConfigError> {
        let within = |name, low, high, found: i64| {
            if (low..=high).contains(&found) {
                return Ok(());
            }
            Err(ResEncConfigError::Range { name, low, high, found })
        };
        within("input channels", 1, 256, self.inputs)?;
        within("classes", 2, 256, self.classes)?;
        within("side", 1, 1 << 14, self.side)?;
        within("base_filters", 1, 1024, self.base_filters)?;
        within("max_filters", self.base_filters, 4096, self.max_filters)?;
        within("stages", 2, 10, self.blocks.len() as i64)?;
        for &blocks in &self.blocks {
            within("blocks", 1, 64, blocks)?;
        }
        let multiple = 1 << (self.blocks.len() - 1);
        // Instance normalisation needs more than one pixel at the lowest stage.
        if self.side % multiple != 0 || self.side < 2 * multiple {
            return Err(ResEncConfigError::Side { multiple, found: self.side, stages: self.blocks.len() });
        }
        Ok(())
    }

    /// Filters of a stage; 0 is the full resolution.
    fn filters(&self, stage: usize) -> i64 {
        (self.base_filters << stage).min(self.max_filters)
    }
}

/// The network: images `[n, inputs, side, side]` to logits `[n, classes, side, side]`.
pub struct ResEncUNet {
    config: ResEncConfig,
    compute: Kind,
    stem: ConvNorm,
    /// From the full resolution down.
    encoder: Vec<Vec<Block>>,
    /// From the lowest level up.
    decoder: Vec<Up>,
    /// Beside `decoder`.
    heads: Vec<Conv2d>,
    /// All values.
    pub parameters: Parameters,
}

impl ResEncUNet {
    /// A network with initial weights that are a function of `seed`; `config` has been validated.
    pub fn new(config: &ResEncConfig, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    pub fn with_kind(
        config: &ResEncConfig,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let mut root = builder.root();
        let mut inputs = config.filters(0);
        let stem = ConvNorm::new(root.sub("encoder.stem.convs.0"), config.inputs, inputs);
        let mut encoder = Vec::new();
        for (stage, &count) in config.blocks.iter().enumerate() {
            let outputs = config.filters(stage);
            let mut blocks = Vec::new();
            for index in 0..count {
                let halve = stage > 0 && index == 0;
                let name = format!("encoder.stages.{stage}.blocks.{index}");
                blocks.push(Block::new(root.sub(&name), inputs, outputs, halve));
                inputs = outputs;
            }
            encoder.push(blocks);
        }
        let mut decoder = Vec::new();
        let mut heads = Vec::new();
        for (index, stage) in (0..config.blocks.len() - 1).rev().enumerate() {
            let filters = config.filters(stage);
            decoder.push(Up::new(root.sub("decoder"), index, config.filters(stage + 1), filters));
            let head = root.sub(&format!("decoder.seg_layers.{index}"));
            heads.push(Conv2d::same(head, filters, config.classes, 1, he_normal(filters, 1)));
        }
        Self { config: config.clone(), compute, stem, encoder, decoder, heads, parameters: builder.finish() }
    }

    /// Logits `[n, classes, side, side]` in the kind of the parameters.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        self.forward_deep(images, 1).swap_remove(0)
    }

    /// Logits of the first `heads` decoder levels (1 to one less than there are stages) from the full resolution down,
    /// each enlarged to `[n, classes, side, side]`, in the kind of the parameters.
    pub fn forward_deep(&self, images: &Tensor, heads: usize) -> Vec<Tensor> {
        let mut x = self.stem.forward(&images.to_kind(self.compute)).leaky_relu_();
        let mut skips = Vec::with_capacity(self.encoder.len());
        for blocks in &self.encoder {
            x = blocks.iter().fold(x, |x, block| block.forward(&x));
            skips.push(x.shallow_clone());
        }
        skips.pop();
        let mut logits = Vec::with_capacity(heads);
        for (index, (up, head)) in self.decoder.iter().zip(&self.heads).enumerate() {
            let level = self.decoder.len() - 1 - index;
            x = up.forward(&x, &skips.swap_remove(level));
            if level < heads {
                let kind = self.parameters.flat().kind();
                logits.push(enlarge(&head.forward(&x).to_kind(kind), 1 << level));
            }
        }
        logits.reverse();
        logits
    }
}

impl Segmenter for ResEncUNet {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn inputs(&self) -> i64 {
        self.config.inputs
    }

    fn classes(&self) -> i64 {
        self.config.classes
    }

    fn side(&self) -> i64 {
        self.config.side
    }

    fn level_weights(&self) -> Vec<f64> {
        halving_weights(self.config.blocks.len() as i64 - 1)
    }

    fn forward_levels(&self, images: &Tensor, levels: usize, _: Mode) -> Vec<Tensor> {
        self.forward_deep(images, levels)
    }

    fn bottleneck(&self, images: &Tensor) -> Tensor {
        let x = self.stem.forward(&images.to_kind(self.compute)).leaky_relu_();
        let x = self.encoder.iter().flatten().fold(x, |x, block| block.forward(&x));
        pooled(&x, self.parameters.flat().kind())
    }
}

/// A 3x3 convolution and normalisation, `[n, inputs, h, w] -> [n, outputs, h', w']`.
struct ConvNorm {
    conv: Conv2d,
    norm: InstanceNorm,
}

impl ConvNorm {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        Self {
            conv: Conv2d::same(scope.sub("conv"), inputs, outputs, 3, he_normal(inputs, 3)),
            norm: InstanceNorm::new(scope.sub("norm"), outputs),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.norm.forward(&self.conv.forward(x))
    }
}

/// A residual block (`BasicBlockD`): two convolutions beside a shortcut, `[n, inputs, h, w] -> [n, outputs, h', w']`.
struct Block {
    first: ConvNorm,
    second: ConvNorm,
    /// In the shortcut, where the number of filters changes.
    projection: Option<(Conv2d, InstanceNorm)>,
    halve: bool,
}

impl Block {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, halve: bool) -> Self {
        let mut first = ConvNorm::new(scope.sub("conv1"), inputs, outputs);
        if halve {
            first.conv = first.conv.with_stride(2);
        }
        let mut second = scope.sub("conv2");
        let second = ConvNorm {
            conv: Conv2d::same(second.sub("conv"), outputs, outputs, 3, he_normal(outputs, 3)),
            // A block begins as its shortcut.
            norm: InstanceNorm::zero(second.sub("norm"), outputs),
        };
        let projection = (inputs != outputs).then(|| {
            // The reference's shortcut is a list, which the pooling opens.
            let mut scope = scope.sub(if halve { "skip.1" } else { "skip.0" });
            let conv = scope.sub("conv");
            let conv = Conv2d::same_without_bias(conv, inputs, outputs, 1, he_normal(inputs, 1));
            (conv, InstanceNorm::new(scope.sub("norm"), outputs))
        });
        Self { first, second, projection, halve }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        // Normalisations do not need their own result in their backward pass, so activations overwrite it; the slope of
        // libtorch's `leaky_relu_` is 0.01.
        let y = self.second.forward(&self.first.forward(x).leaky_relu_());
        let pooled = self.halve.then(|| x.avg_pool2d([2, 2], [2, 2], [0, 0], false, true, None));
        let shortcut = pooled.as_ref().unwrap_or(x);
        match &self.projection {
            Some((conv, norm)) => (y + norm.forward(&conv.forward(shortcut))).leaky_relu_(),
            None => (y + shortcut).leaky_relu_(),
        }
    }
}

/// One decoder level, `[n, below, h, w]` and the encoder's features `[n, filters, 2 h, 2 w]` to the form of the latter.
struct Up {
    double_weight: Tensor,
    double_bias: Tensor,
    conv: ConvNorm,
}

impl Up {
    fn new(mut scope: Scope<'_>, index: usize, below: i64, filters: i64) -> Self {
        let mut double = scope.sub(&format!("transpconvs.{index}"));
        // The reference takes the outputs of a transposed convolution for its inputs.
        let init = he_normal(filters, 2);
        Self {
            double_weight: double.parameter("weight", &[below, filters, 2, 2], init),
            double_bias: double.parameter("bias", &[filters], Init::Constant(0.0)),
            conv: ConvNorm::new(scope.sub(&format!("stages.{index}.convs.0")), 2 * filters, filters),
        }
    }

    fn forward(&self, x: &Tensor, skip: &Tensor) -> Tensor {
        let (weight, bias) = (self.double_weight.to_kind(x.kind()), self.double_bias.to_kind(x.kind()));
        let up = x.conv_transpose2d(&weight, Some(&bias), [2, 2], [0, 0], [0, 0], 1, [1, 1]);
        self.conv.forward(&Tensor::cat(&[&up, skip], 1)).leaky_relu_()
    }
}

/// Initial weights of He et al. 2015 for leaky ReLU of slope 0.01.
fn he_normal(inputs: i64, kernel: i64) -> Init {
    let fan_in = (inputs * kernel * kernel) as f64;
    Init::Normal((2.0 / (1.0 + 0.01f64.powi(2)) / fan_in).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> ResEncConfig {
        ResEncConfig {
            inputs: 2,
            classes: 3,
            side: 32,
            base_filters: 4,
            max_filters: 8,
            blocks: vec![1, 2, 2, 1],
        }
    }

    #[test]
    fn outputs_have_the_side_asked_for() {
        let network = ResEncUNet::new(&small(), 1, Device::Cpu, Precision::F32);
        let x = Tensor::ones([2, 2, 32, 32], (Kind::Float, Device::Cpu));
        let logits = network.forward_deep(&x, 9);
        assert_eq!(logits.len(), 3);
        for logits in logits {
            assert_eq!(logits.size(), [2, 3, 32, 32]);
        }
    }

    #[test]
    fn published_sizes_are_valid() {
        let config = ResEncConfig::published(4, 4, 256, 7);
        assert_eq!(config.validate(), Ok(()));
        assert_eq!(config.blocks, [1, 3, 4, 6, 6, 6, 6]);
        assert_eq!(config.filters(6), 512);
    }

    #[test]
    fn rejects_what_cannot_be_built() {
        for side in [8, 15, 36] {
            let error = ResEncConfig { side, ..small() }.validate().unwrap_err();
            assert_eq!(error, ResEncConfigError::Side { multiple: 8, found: side, stages: 4 });
        }
        let few = ResEncConfig { max_filters: 2, ..small() };
        assert!(matches!(few.validate(), Err(ResEncConfigError::Range { name: "max_filters", .. })));
        let none = ResEncConfig { blocks: vec![1, 0], ..small() };
        assert!(matches!(none.validate(), Err(ResEncConfigError::Range { name: "blocks", .. })));
    }

    #[test]
    fn bf16_stays_close_to_f32_and_returns_f32() {
        tch::manual_seed(3);
        let x = Tensor::randn([2, 2, 32, 32], (Kind::Float, Device::Cpu));
        let exact = ResEncUNet::new(&small(), 1, Device::Cpu, Precision::F32).forward(&x);
        let rough = ResEncUNet::new(&small(), 1, Device::Cpu, Precision::Bf16).forward(&x);
        assert_eq!(rough.kind(), Kind::Float);
        let error = (&rough - &exact).norm().double_value(&[]) / exact.norm().double_value(&[]);
        // bf16 keeps 8 bits: 0.4 % a rounding, through a dozen layers that do not amplify it.
        assert!(error < 0.04, "{error}");
    }
}

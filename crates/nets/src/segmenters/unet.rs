//! The U-Net of the study (Ronneberger, Fischer and Brox 2015, with the changes of Akbar et al. 2024).
//!
//! A level is two 3x3 convolutions, each followed by leaky ReLU (slope 0.01) and then instance normalisation.
//! Levels are joined by 2x2 max-pooling on the way down, and on the way up by bilinear doubling, a 1x1
//! convolution that halves the channels, and concatenation with the skip connection, whose centre is cut out
//! when convolutions are not padded. A 1x1 convolution without bias gives logits at every decoder level;
//! those of the lower levels are enlarged bilinearly to the full resolution (deep supervision).
//!
//! Parameters have the names of the authors' code, so weights can be exchanged with it.
//!
//! # Deviations
//! The 1x1 convolution of a decoder level runs before the doubling, not after it: it acts on each pixel alone
//! and the bilinear weights add up to one, so the two commute, and a quarter of the products is left.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::{Mode, Segmenter, halving_weights, pooled};
use crate::engine::{Init, Parameters, ParametersBuilder, Precision, Scope};
use crate::layers::{Conv2d, InstanceNorm};

/// What convolutions see beyond the border.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Zeros: the output is as large as the input.
    Same,
    /// Nothing: every 3x3 convolution takes two pixels off each axis, and the input has to be larger than the
    /// output; see [`UNetConfig::input_side`].
    Valid,
}

/// Sizes of a U-Net.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UNetConfig {
    /// Image channels; the study's data have 4.
    pub inputs: i64,
    /// Classes, background included; the study's data have 4.
    pub classes: i64,
    /// Filters at the full resolution, doubled at every level; the study used 64.
    pub base_filters: i64,
    /// Levels, the full resolution included; the study used 6.
    pub depth: i64,
    /// Padding of the 3x3 convolutions; the study used `valid`.
    pub padding: Padding,
    /// Side of the label maps in pixels; the study used 256.
    pub side: i64,
}

/// Why a U-Net cannot be built, or cannot give an output of some size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UNetConfigError {
    /// A size is out of its range.
    #[error("U-Net: expected {name} from {low} to {high}, found {found}")]
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
        "U-Net: expected a side that is a multiple of {multiple} and at least twice that, found {found}\n\
         hint: a depth of {depth} halves the images {halvings} times; use a smaller depth, or padding = \"valid\"",
        halvings = depth - 1
    )]
    Side {
        /// What the side has to be divisible by.
        multiple: i64,
        /// As given.
        found: i64,
        /// Levels.
        depth: i64,
    },
}

impl UNetConfig {
    /// Checks the ranges, and that images of this side can be segmented.
    ///
    /// # Errors
    /// [`UNetConfigError`] naming the value.
    pub fn validate(&self) -> Result<(), UNetConfigError> {
        let side = self.side;
        let within = |name, low, high, found: i64| {
            if (low..=high).contains(&found) {
                return Ok(());
            }
            Err(UNetConfigError::Range { name, low, high, found })
        };
        within("input channels", 1, 256, self.inputs)?;
        within("classes", 2, 256, self.classes)?;
        within("base_filters", 1, 1024, self.base_filters)?;
        within("depth", 2, 8, self.depth)?;
        within("side", 1, 1 << 14, side)?;
        let multiple = 1 << (self.depth - 1);
        // Instance normalisation needs more than one pixel at the lowest level.
        if self.padding == Padding::Same && (side % multiple != 0 || side < 2 * multiple) {
            return Err(UNetConfigError::Side { multiple, found: side, depth: self.depth });
        }
        Ok(())
    }

    /// Side of the input. With padding it is that of the output. Without it, let the lowest level receive
    /// k + 8 pixels and m = 2^(depth - 1): going up, two convolutions and a doubling a level leave m k + 4
    /// pixels; going down, m k + 12 m - 4 are needed. The smallest k with m k + 4 >= side is taken and the
    /// surplus of the output is cut off. For 256 at depth 6: k = 8, 636 pixels, of 260 in the output 256 stay.
    pub fn input_side(&self) -> i64 {
        match self.padding {
            Padding::Same => self.side,
            Padding::Valid => {
                let m = 1 << (self.depth - 1);
                let k = ((self.side - 4).max(1) + m - 1) / m;
                m * k + 12 * m - 4
            }
        }
    }

    /// Filters at a level; 0 is the full resolution.
    fn filters(&self, level: i64) -> i64 {
        self.base_filters << level
    }
}

/// The network: images `[n, inputs, s, s]` with s = [`UNetConfig::input_side`] to logits
/// `[n, classes, side, side]`. For `valid` padding the caller enlarges the images with background.
pub struct UNet {
    config: UNetConfig,
    compute: Kind,
    encoder: Vec<Block>,
    /// From the lowest level up.
    decoder: Vec<Up>,
    /// Beside `decoder`.
    heads: Vec<Head>,
    /// All values.
    pub parameters: Parameters,
}

impl UNet {
    /// A network with initial weights that are a function of `seed`; `config` has been validated.
    pub fn new(config: &UNetConfig, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    pub fn with_kind(
        config: &UNetConfig,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let mut root = builder.root();
        let padding = i64::from(config.padding == Padding::Same);
        let mut encoder = Vec::new();
        let mut inputs = config.inputs;
        for level in 0..config.depth {
            let outputs = config.filters(level);
            let name = format!("down_path.{level}.block");
            encoder.push(Block::new(root.sub(&name), inputs, outputs, padding));
            inputs = outputs;
        }
        let mut decoder = Vec::new();
        let mut heads = Vec::new();
        for (index, level) in (0..config.depth - 1).rev().enumerate() {
            decoder.push(Up::new(root.sub(&format!("up_path.{index}")), config.filters(level), padding));
            // The authors' heads below the full resolution are pairs of a convolution and an enlargement.
            let pair = if level == 0 { "" } else { ".0" };
            let name = format!("output_layers.{index}{pair}");
            heads.push(Head::new(root.sub(&name), config.filters(level), config.classes, 1 << level));
        }
        Self { config: config.clone(), compute, encoder, decoder, heads, parameters: builder.finish() }
    }

    /// Logits `[n, classes, side, side]` in the kind of the parameters.
    pub fn forward(&self, images: &Tensor) -> Tensor {
        self.forward_deep(images, 1).swap_remove(0)
    }

    /// Logits of the first `heads` decoder levels (1 to depth - 1) from the full resolution down, each
    /// enlarged to `[n, classes, side, side]`, in the kind of the parameters.
    pub fn forward_deep(&self, images: &Tensor, heads: usize) -> Vec<Tensor> {
        let mut x = images.to_kind(self.compute);
        let mut skips = Vec::with_capacity(self.decoder.len());
        for (level, block) in self.encoder.iter().enumerate() {
            x = block.forward(&x);
            if level < self.decoder.len() {
                let pooled = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
                skips.push(std::mem::replace(&mut x, pooled));
            }
        }
        let mut logits = Vec::with_capacity(heads);
        for (index, (up, head)) in self.decoder.iter().zip(&self.heads).enumerate() {
            let level = self.decoder.len() - 1 - index;
            x = up.forward(&x, &skips.swap_remove(level));
            if level < heads {
                logits.push(head.forward(&x, self.config.side));
            }
        }
        logits.reverse();
        logits
    }
}

impl Segmenter for UNet {
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

    fn input_side(&self) -> i64 {
        self.config.input_side()
    }

    fn level_weights(&self) -> Vec<f64> {
        halving_weights(self.config.depth - 1)
    }

    fn forward_levels(&self, images: &Tensor, levels: usize, _: Mode) -> Vec<Tensor> {
        self.forward_deep(images, levels)
    }

    fn bottleneck(&self, images: &Tensor) -> Tensor {
        let mut x = images.to_kind(self.compute);
        for (level, block) in self.encoder.iter().enumerate() {
            if level > 0 {
                x = x.max_pool2d([2, 2], [2, 2], [0, 0], [1, 1], false);
            }
            x = block.forward(&x);
        }
        pooled(&x, self.parameters.flat().kind())
    }
}

/// Two convolutions with activation and normalisation, `[n, inputs, h, w] -> [n, outputs, h', w']`.
struct Block {
    first: Conv2d,
    first_norm: InstanceNorm,
    second: Conv2d,
    second_norm: InstanceNorm,
}

impl Block {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, padding: i64) -> Self {
        Self {
            first: Conv2d::new(scope.sub("0"), inputs, outputs, 3, padding),
            first_norm: InstanceNorm::new(scope.sub("2"), outputs),
            second: Conv2d::new(scope.sub("3"), outputs, outputs, 3, padding),
            second_norm: InstanceNorm::new(scope.sub("5"), outputs),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        // The convolution's own result is not needed by its backward pass, so the activation overwrites it;
        // the slope of libtorch's `leaky_relu_` is 0.01.
        let x = self.first_norm.forward(&self.first.forward(x).leaky_relu_());
        self.second_norm.forward(&self.second.forward(&x).leaky_relu_())
    }
}

/// One decoder level, `[n, 2 f, h, w]` and a skip of f filters `-> [n, f, h', w']`.
struct Up {
    halve: Conv2d,
    block: Block,
}

impl Up {
    fn new(mut scope: Scope<'_>, filters: i64, padding: i64) -> Self {
        Self {
            halve: Conv2d::new(scope.sub("up.1"), 2 * filters, filters, 1, 0),
            block: Block::new(scope.sub("conv_block.block"), 2 * filters, filters, padding),
        }
    }

    fn forward(&self, x: &Tensor, skip: &Tensor) -> Tensor {
        let up = enlarge(&self.halve.forward(x), 2);
        let (height, width) = (up.size()[2], up.size()[3]);
        self.block.forward(&Tensor::cat(&[up, crop_centre(skip, height, width)], 1))
    }
}

/// Logits of one decoder level at the full resolution.
struct Head {
    weight: Tensor,
    scale: i64,
}

impl Head {
    /// PyTorch's initial values of a convolution: uniform within `1 / sqrt(fan_in)`.
    fn new(mut scope: Scope<'_>, filters: i64, classes: i64, scale: i64) -> Self {
        let bound = 1.0 / (filters as f64).sqrt();
        Self { weight: scope.parameter("weight", &[classes, filters, 1, 1], Init::Uniform(bound)), scale }
    }

    fn forward(&self, x: &Tensor, side: i64) -> Tensor {
        let weight = self.weight.to_kind(x.kind());
        let logits = x.conv2d(&weight, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1);
        crop_centre(&enlarge(&logits.to_kind(self.weight.kind()), self.scale), side, side)
    }
}

/// Bilinear enlargement by a whole factor, pixels as areas (`align_corners = false`).
pub(super) fn enlarge(x: &Tensor, factor: i64) -> Tensor {
    if factor == 1 {
        return x.shallow_clone();
    }
    let size = x.size();
    x.upsample_bilinear2d([size[2] * factor, size[3] * factor], false, None, None)
}

/// The middle `[n, c, height, width]` of a tensor that is at least as large; a view.
fn crop_centre(x: &Tensor, height: i64, width: i64) -> Tensor {
    let size = x.size();
    if (size[2], size[3]) == (height, width) {
        return x.shallow_clone();
    }
    x.narrow(2, (size[2] - height) / 2, height).narrow(3, (size[3] - width) / 2, width)
}

#[cfg(test)]
mod tests {
    use super::*;
    use synthmr_core::random::{Draw, Stream, rng};

    fn study() -> UNetConfig {
        UNetConfig { inputs: 4, classes: 4, base_filters: 64, depth: 6, padding: Padding::Valid, side: 256 }
    }

    fn small() -> UNetConfig {
        UNetConfig { inputs: 2, classes: 3, base_filters: 8, depth: 3, padding: Padding::Same, side: 32 }
    }

    #[test]
    fn the_studys_network_has_116_million_parameters() {
        // A level: two 3x3 convolutions with bias, each with gain and offset of its normalisation.
        let level = |inputs: i64, f: i64| (9 * inputs * f + f) + 2 * f + (9 * f * f + f) + 2 * f;
        let encoder: i64 = (0..6).map(|i| level(if i == 0 { 4 } else { 32 << i }, 64 << i)).sum();
        // Decoder: the 1x1 convolution with bias, the level, and the head for 4 classes without bias.
        let decoder: i64 = (0..5).map(|i| 64 << i).map(|f| (2 * f * f + f) + level(2 * f, f) + 4 * f).sum();
        assert_eq!((encoder, decoder), (75_487_104, 40_527_168));
        let network = UNet::new(&study(), 1, Device::Cpu, Precision::F32);
        // The same as the PyTorch network of tools/golden/unet.py at the study's setting.
        assert_eq!(network.parameters.count(), 116_014_272);
    }

    #[test]
    fn the_studys_input_sides() {
        assert_eq!(study().input_side(), 636);
        assert_eq!(UNetConfig { depth: 5, ..study() }.input_side(), 444);
        assert_eq!(UNetConfig { padding: Padding::Same, ..study() }.input_side(), 256);
    }

    #[test]
    fn outputs_have_the_side_asked_for() {
        for padding in [Padding::Same, Padding::Valid] {
            for (depth, side) in [(2, 16), (3, 16), (3, 48), (4, 32)] {
                let config = UNetConfig { base_filters: 2, depth, padding, side, ..small() };
                config.validate().unwrap();
                let network = UNet::new(&config, 1, Device::Cpu, Precision::F32);
                let s = config.input_side();
                let x = Tensor::ones([2, 2, s, s], (Kind::Float, Device::Cpu));
                let logits = network.forward_deep(&x, 9);
                assert_eq!(logits.len() as i64, depth - 1);
                for logits in logits {
                    assert_eq!(logits.size(), [2, 3, side, side], "{config:?}");
                }
            }
        }
    }

    #[test]
    fn the_bottleneck_tells_images_apart() {
        let mut pixels = vec![0f32; 2 * 2 * 32 * 32];
        rng(1, Stream::Test, 0).fill_normal(&mut pixels);
        let network = UNet::new(&small(), 1, Device::Cpu, Precision::F32);
        let found = network.bottleneck(&Tensor::from_slice(&pixels).view([2, 2, 32, 32]));
        assert_eq!(found.size(), [2, 32]);
        let differences = (found.get(0) - found.get(1)).abs();
        assert!(differences.mean(Kind::Float).double_value(&[]) > 0.1, "every image has the same mean");
    }

    #[test]
    fn rejects_sides_that_cannot_be_halved() {
        let same = |side| UNetConfig { padding: Padding::Same, side, ..study() }.validate();
        assert_eq!(same(64), Ok(()));
        for side in [32, 65, 72] {
            assert!(matches!(same(side), Err(UNetConfigError::Side { multiple: 32, .. })), "{side}");
        }
        assert_eq!(UNetConfig { side: 65, ..study() }.validate(), Ok(()));
        let shallow = UNetConfig { depth: 1, ..study() };
        assert!(matches!(shallow.validate(), Err(UNetConfigError::Range { name: "depth", .. })));
    }

    #[test]
    fn bf16_stays_close_to_f32_and_returns_f32() {
        let mut pixels = vec![0f32; 2 * 2 * 32 * 32];
        rng(1, Stream::Test, 0).fill_normal(&mut pixels);
        let x = Tensor::from_slice(&pixels).view([2, 2, 32, 32]);
        let exact = UNet::new(&small(), 1, Device::Cpu, Precision::F32).forward(&x);
        let rough = UNet::new(&small(), 1, Device::Cpu, Precision::Bf16).forward(&x);
        assert_eq!(rough.kind(), Kind::Float);
        let error = (&rough - &exact).norm().double_value(&[]) / exact.norm().double_value(&[]);
        // bf16 keeps 8 bits: 0.4 % a rounding, through 13 layers that do not amplify it.
        assert!(error < 0.03, "{error}");
    }
}

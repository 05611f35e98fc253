//! The synthesis network: styles to images (Karras et al. 2020, figures 2d and 7b: skip connections).

use tch::{Kind, Tensor};

use super::StyleGan2Config;
use crate::engine::{Init, Scope, channels_last};
use crate::generators::gan::{Noise, noise_input};
use crate::generators::styled;
use crate::layers::{Activation, Fir, ModulatedConv, StyleGains, leaky_relu};

/// A modulated 3x3 convolution, noise, bias and leaky ReLU.
struct StyledConv {
    conv: ModulatedConv,
    noise: Tensor,
    noise_strength: Tensor,
    bias: Tensor,
    resolution: i64,
}

impl StyledConv {
    fn new(
        mut scope: Scope<'_>,
        w_dim: i64,
        inputs: i64,
        outputs: i64,
        resolution: i64,
        doubling: bool,
    ) -> Self {
        let conv =
            ModulatedConv::new(&mut scope, w_dim, inputs, outputs, 3, doubling, StyleGains::Demodulated);
        Self {
            conv,
            noise: scope.buffer("noise_const", &[resolution, resolution], Init::Normal(1.0)),
            noise_strength: scope.parameter("noise_strength", &[], Init::Constant(0.0)),
            bias: scope.parameter("bias", &[outputs], Init::Constant(0.0)),
            resolution,
        }
    }

    fn forward(&self, x: &Tensor, w: &Tensor, noise: &Noise, index: usize) -> Tensor {
        // The activation's gain is applied to everything in front of it: see `Activation::apply`.
        let gain = Activation::LeakyRelu.weight_gain();
        let kind = x.kind();
        let y = self.conv.forward(x, w, gain);
        let offset = (&self.bias * gain).view([1, -1, 1, 1]);
        let y = match noise_input(noise, index, self.resolution, &self.noise) {
            Some(noise) => y + (noise * (&self.noise_strength * gain)).to_kind(kind) + offset.to_kind(kind),
            None => y + offset.to_kind(kind),
        };
        leaky_relu(&y, 0.2)
    }
}

/// The layer that makes an image from feature maps.
struct ToImage {
    conv: ModulatedConv,
    bias: Tensor,
}

impl ToImage {
    fn new(mut scope: Scope<'_>, w_dim: i64, inputs: i64, planes: i64) -> Self {
        let conv = ModulatedConv::new(&mut scope, w_dim, inputs, planes, 1, false, StyleGains::Plain);
        Self { conv, bias: scope.parameter("bias", &[planes], Init::Constant(0.0)) }
    }

    fn forward(&self, x: &Tensor, w: &Tensor) -> Tensor {
        let y = self.conv.forward(x, w, 1.0).to_kind(self.bias.kind());
        y + self.bias.view([1, -1, 1, 1])
    }
}

struct Block {
    conv0: Option<StyledConv>,
    conv1: StyledConv,
    to_image: ToImage,
}

/// Styles `[n, style_count, w_dim]` to images `[n, planes, resolution, resolution]`.
pub struct Synthesis {
    constant: Tensor,
    blocks: Vec<Block>,
    fir: Fir,
    compute: Kind,
}

impl Synthesis {
    /// Builds the blocks under `scope`; convolutions compute in `compute`.
    pub fn new(mut scope: Scope<'_>, config: &StyleGan2Config, compute: Kind) -> Self {
        let fir = Fir::new(scope.device(), scope.kind());
        let first = config.channels(4);
        let mut constant = None;
        let mut blocks = Vec::new();
        for resolution in config.resolutions() {
            let mut scope = scope.sub(&format!("b{resolution}"));
            let (w_dim, outputs) = (config.w_dim, config.channels(resolution));
            let conv0 = if resolution == 4 {
                constant = Some(scope.parameter("const", &[first, 4, 4], Init::Normal(1.0)));
                None
            } else {
                let inputs = config.channels(resolution / 2);
                Some(StyledConv::new(scope.sub("conv0"), w_dim, inputs, outputs, resolution, true))
            };
            let conv1 = StyledConv::new(scope.sub("conv1"), w_dim, outputs, outputs, resolution, false);
            let to_image = ToImage::new(scope.sub("torgb"), w_dim, outputs, config.planes);
            blocks.push(Block { conv0, conv1, to_image });
        }
        #[expect(clippy::expect_used, reason = "resolutions begin at 4")]
        let constant = constant.expect("the first block has the constant");
        Self { constant, blocks, fir, compute }
    }
}

impl styled::Synthesis for Synthesis {
    /// Number of styles: one for each convolution and one for the last image layer.
    fn style_count(&self) -> i64 {
        self.blocks.len() as i64 * 2
    }

    fn noise_sides(&self) -> Vec<i64> {
        let layers = self.blocks.iter().flat_map(|block| block.conv0.iter().chain([&block.conv1]));
        layers.map(|layer| layer.resolution).collect()
    }

    /// An image layer shares the style of the next convolution, as in the reference.
    fn forward(&self, styles: &Tensor, noise: &Noise, _: Option<i64>) -> Tensor {
        let style = |index: usize| styles.select(1, index as i64);
        let n = styles.size()[0];
        let constant = self.constant.to_kind(self.compute).unsqueeze(0).expand([n, -1, -1, -1], false);
        let mut x = channels_last(&constant);
        let mut image: Option<Tensor> = None;
        let mut layer = 0;
        for block in &self.blocks {
            for conv in block.conv0.iter().chain([&block.conv1]) {
                x = conv.forward(&x, &style(layer), noise, layer);
                layer += 1;
            }
            let addition = block.to_image.forward(&x, &style(layer));
            image = Some(match image {
                Some(smaller) => self.fir.double(&smaller) + addition,
                None => addition,
            });
        }
        #[expect(clippy::expect_used, reason = "there is always the block of resolution 4")]
        image.expect("at least one block")
    }
}

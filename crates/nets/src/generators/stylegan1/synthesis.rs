//! The synthesis network: styles to images (Karras et al. 2019, figure 1b).

use tch::{Kind, Tensor};

use super::StyleGan1Config;
use crate::engine::{Init, Scope, channels_last};
use crate::generators::gan::{Noise, noise_input};
use crate::generators::growing::Growing;
use crate::generators::styled;
use crate::layers::{Activation, Blur, EqualisedConv, EqualisedLinear, leaky_relu};

/// Added to the variance before its root.
const EPSILON: f64 = 1e-8;

/// What feeds a layer.
enum Source {
    /// The learnt constant.
    Constant,
    /// A convolution.
    Conv(EqualisedConv),
    /// A convolution that doubles the resolution, then a filter.
    Doubling(EqualisedConv, Blur),
}

/// Convolution, noise, bias, leaky ReLU, then AdaIN: every map takes mean and deviation from the style (equation 1).
struct StyledLayer {
    source: Source,
    noise: Tensor,
    noise_strength: Tensor,
    bias: Tensor,
    affine: EqualisedLinear,
    side: i64,
}

impl StyledLayer {
    /// `inputs` is 0 for the layer behind the constant.
    fn new(mut scope: Scope<'_>, w_dim: i64, inputs: i64, maps: i64, side: i64, doubling: bool) -> Self {
        let (device, kind) = (scope.device(), scope.kind());
        let source = if inputs == 0 {
            Source::Constant
        } else {
            let gain = Activation::HeLeakyRelu.weight_gain();
            let conv = EqualisedConv::bare(&mut scope, inputs, maps, 3).with_gain(gain);
            if doubling {
                Source::Doubling(conv.doubled(), Blur::new(device, kind))
            } else {
                Source::Conv(conv)
            }
        };
        Self {
            source,
            noise: scope.buffer("noise_const", &[side, side], Init::Normal(1.0)),
            noise_strength: scope.parameter("noise_strength", &[maps], Init::Constant(0.0)),
            bias: scope.parameter("bias", &[maps], Init::Constant(0.0)),
            affine: EqualisedLinear::new(scope.sub("affine"), w_dim, 2 * maps, Activation::Linear, 1.0, 0.0),
            side,
        }
    }

    /// `index` is the layer's place among the noise inputs.
    fn forward(&self, x: &Tensor, w: &Tensor, noise: &Noise, index: usize) -> Tensor {
        let x = match &self.source {
            Source::Constant => x.shallow_clone(),
            Source::Conv(conv) => conv.forward(x),
            Source::Doubling(conv, blur) => blur.forward(&conv.forward(x)),
        };
        let kind = x.kind();
        let per_map = |values: &Tensor| values.view([1, -1, 1, 1]);
        let offset = per_map(&self.bias);
        let x = match noise_input(noise, index, self.side, &self.noise) {
            Some(noise) => x + (noise * per_map(&self.noise_strength) + offset).to_kind(kind),
            None => x + offset.to_kind(kind),
        };
        let x = leaky_relu(&x, 0.2);
        let style = self.affine.forward(w).unsqueeze(-1).unsqueeze(-1).chunk(2, 1);
        instance_norm(&x) * (&style[0] + 1.0).to_kind(kind) + style[1].to_kind(kind)
    }
}

/// Every map of every image with mean 0 and deviation 1; sums are in f32 for bf16. libtorch's `group_norm` with a group
/// a map is seven times slower on channels side by side (35 against 5 ms, [8, 32, 64, 64] in bf16, one thread).
fn instance_norm(x: &Tensor) -> Tensor {
    let none = None::<&Tensor>;
    const MOMENTUM: f64 = 0.0;
    x.instance_norm(none, none, none, none, true, MOMENTUM, EPSILON, false)
}

/// One resolution.
struct Level {
    layers: [StyledLayer; 2],
    to_image: EqualisedConv,
}

/// Styles `[n, style_count, w_dim]` to images `[n, planes, r, r]`.
pub struct Synthesis {
    constant: Tensor,
    levels: Vec<Level>,
    growing: Growing,
    compute: Kind,
}

impl Synthesis {
    /// Builds the levels under `scope`; convolutions compute in `compute`.
    pub fn new(mut scope: Scope<'_>, config: &StyleGan1Config, compute: Kind) -> Self {
        let (base, w_dim) = (&config.base, config.w_dim);
        let constant = scope.sub("b4").parameter("const", &[base.channels(4), 4, 4], Init::Constant(1.0));
        let levels: Vec<Level> = base
            .resolutions()
            .map(|side| {
                let mut scope = scope.sub(&format!("b{side}"));
                let maps = base.channels(side);
                let inputs = if side == 4 { 0 } else { base.channels(side / 2) };
                Level {
                    layers: [
                        StyledLayer::new(scope.sub("conv0"), w_dim, inputs, maps, side, true),
                        StyledLayer::new(scope.sub("conv1"), w_dim, maps, maps, side, false),
                    ],
                    to_image: EqualisedConv::new(
                        scope.sub("torgb"),
                        maps,
                        base.planes,
                        1,
                        Activation::Linear,
                    ),
                }
            })
            .collect();
        let growing = Growing::new(&mut scope, levels.len());
        Self { constant, levels, growing, compute }
    }
}

impl styled::Synthesis for Synthesis {
    /// Number of styles: one for each layer.
    fn style_count(&self) -> i64 {
        self.levels.len() as i64 * 2
    }

    fn noise_sides(&self) -> Vec<i64> {
        self.levels.iter().flat_map(|level| level.layers.iter().map(|layer| layer.side)).collect()
    }

    fn growing(&self) -> Option<&Growing> {
        Some(&self.growing)
    }

    fn forward(&self, styles: &Tensor, noise: &Noise, _: Option<i64>) -> Tensor {
        let block = |level: usize, below: Option<&Tensor>| {
            let first = || {
                let constant = self.constant.to_kind(self.compute).unsqueeze(0);
                channels_last(&constant.expand([styles.size()[0], -1, -1, -1], false))
            };
            let x = below.map_or_else(first, Tensor::shallow_clone);
            self.levels[level].layers.iter().enumerate().fold(x, |x, (i, layer)| {
                let index = 2 * level + i;
                layer.forward(&x, &styles.select(1, index as i64), noise, index)
            })
        };
        let kind = self.constant.kind();
        self.growing.image(block, |level, x| self.levels[level].to_image.forward(x).to_kind(kind))
    }
}

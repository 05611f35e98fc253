//! The generator: a latent spread over 4x4 pixels, then levels of two convolutions, each twice as large.

use tch::{Device, Kind, Tensor};

use super::ProGanConfig;
use crate::engine::{Init, Parameters, ParametersBuilder, Precision, Scope, channels_last};
use crate::generators::gan::{self, Noise};
use crate::generators::growing::Growing;
use crate::layers::{Activation, EqualisedConv, leaky_relu, pixel_norm};

const ACTIVATION: Activation = Activation::HeLeakyRelu;

/// The first layer, fully connected: `[n, z_dim] -> [n, c, 4, 4]`. A quarter of He's constant, "to match the
/// original implementation" of the authors.
struct Spread {
    weight: Tensor,
    bias: Tensor,
}

impl Spread {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        Self {
            weight: scope.parameter("weight", &[outputs * 16, inputs], Init::Normal(1.0)),
            bias: scope.parameter("bias", &[outputs], Init::Constant(0.0)),
        }
    }

    fn forward(&self, z: &Tensor) -> Tensor {
        let inputs = self.weight.size()[1] as f64;
        let weight = &self.weight * (ACTIVATION.weight_gain() / 4.0 / inputs.sqrt());
        let x = z.linear(&weight, None::<&Tensor>).view([z.size()[0], -1, 4, 4]);
        leaky_relu(&(x + self.bias.view([1, -1, 1, 1])), 0.2)
    }
}

struct Level {
    /// Absent in the first level.
    conv0: Option<EqualisedConv>,
    conv1: EqualisedConv,
    to_image: EqualisedConv,
}

/// Latents `[n, z_dim]` to images.
pub struct Generator {
    z_dim: i64,
    spread: Spread,
    levels: Vec<Level>,
    growing: Growing,
    compute: Kind,
    /// All values.
    pub parameters: Parameters,
}

impl Generator {
    /// A generator with initial weights that are a function of `seed`.
    pub fn new(config: &ProGanConfig, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    pub fn with_kind(
        config: &ProGanConfig,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let mut root = builder.root();
        let spread = Spread::new(root.sub("b4").sub("dense"), config.z_dim, config.channels(4));
        let levels: Vec<Level> = config
            .resolutions()
            .map(|resolution| {
                let mut scope = root.sub(&format!("b{resolution}"));
                let (inputs, outputs) = (config.channels(resolution / 2), config.channels(resolution));
                let (first, second) = if resolution == 4 { (None, "conv") } else { (Some("conv0"), "conv1") };
                let conv0 = first.map(|name| {
                    EqualisedConv::new(scope.sub(name), inputs, outputs, 3, ACTIVATION).doubled()
                });
                let conv1 = EqualisedConv::new(scope.sub(second), outputs, outputs, 3, ACTIVATION);
                let linear = Activation::Linear;
                let to_image = EqualisedConv::new(scope.sub("torgb"), outputs, config.planes, 1, linear);
                Level { conv0, conv1, to_image }
            })
            .collect();
        let growing = Growing::new(&mut root, levels.len());
        Self { z_dim: config.z_dim, spread, levels, growing, compute, parameters: builder.finish() }
    }
}

impl gan::Generator for Generator {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn z_dim(&self) -> i64 {
        self.z_dim
    }

    /// z with unit mean square.
    fn map(&self, z: &Tensor) -> Tensor {
        pixel_norm(z)
    }

    fn mean_w(&self) -> Option<&Tensor> {
        None
    }

    fn style_count(&self) -> i64 {
        1
    }

    fn noise_sides(&self) -> Vec<i64> {
        Vec::new()
    }

    fn synthesise(&self, styles: &Tensor, _: &Noise) -> Tensor {
        let block = |level: usize, below: Option<&Tensor>| {
            let Level { conv0, conv1, .. } = &self.levels[level];
            let x = match (conv0, below) {
                (Some(conv0), Some(below)) => pixel_norm(&conv0.forward(below)),
                _ => {
                    let first = pixel_norm(&self.spread.forward(&styles.select(1, 0)));
                    channels_last(&first.to_kind(self.compute))
                }
            };
            pixel_norm(&conv1.forward(&x))
        };
        let kind = self.parameters.flat().kind();
        self.growing.image(block, |level, x| self.levels[level].to_image.forward(x).to_kind(kind))
    }

    fn growing(&self) -> Option<&Growing> {
        Some(&self.growing)
    }
}

//! The discriminator: residual blocks, then minibatch standard deviation and two fully connected layers
//! (Karras et al. 2020, figure 7c and configuration F).

use tch::{Device, Kind, Tensor};

use super::StyleGan2Config;
use crate::engine::{Parameters, ParametersBuilder, Precision, Scope, channels_last};
use crate::generators::gan;
use crate::layers::{Activation, EqualisedConv, EqualisedLinear, minibatch_standard_deviation};

/// Both branches of a residual block are scaled so that their sum keeps its variance.
const BRANCH_GAIN: f64 = std::f64::consts::FRAC_1_SQRT_2;

struct Block {
    conv0: EqualisedConv,
    conv1: EqualisedConv,
    skip: EqualisedConv,
}

impl Block {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64) -> Self {
        let act = Activation::LeakyRelu;
        Self {
            conv0: EqualisedConv::new(scope.sub("conv0"), inputs, inputs, 3, act),
            conv1: EqualisedConv::new(scope.sub("conv1"), inputs, outputs, 3, act)
                .halved()
                .with_gain(BRANCH_GAIN),
            skip: EqualisedConv::bare(&mut scope.sub("skip"), inputs, outputs, 1)
                .halved()
                .with_gain(BRANCH_GAIN),
        }
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        self.skip.forward(x) + self.conv1.forward(&self.conv0.forward(x))
    }
}

/// Images `[n, planes, resolution, resolution]` to logits `[n, 1]`.
pub struct Discriminator {
    from_image: EqualisedConv,
    blocks: Vec<Block>,
    last_conv: EqualisedConv,
    hidden: EqualisedLinear,
    output: EqualisedLinear,
    mbstd_group: i64,
    compute: Kind,
    /// All values.
    pub parameters: Parameters,
}

impl Discriminator {
    /// A discriminator with initial weights that are a function of `seed`.
    pub fn new(config: &StyleGan2Config, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    pub fn with_kind(
        config: &StyleGan2Config,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let mut root = builder.root();
        let act = Activation::LeakyRelu;
        let full = config.resolution;
        let from_image = EqualisedConv::new(
            root.sub(&format!("b{full}")).sub("fromrgb"),
            config.planes,
            config.channels(full),
            1,
            act,
        );
        let blocks = config
            .resolutions()
            .rev()
            .filter(|&resolution| resolution > 4)
            .map(|resolution| {
                let (inputs, outputs) = (config.channels(resolution), config.channels(resolution / 2));
                Block::new(root.sub(&format!("b{resolution}")), inputs, outputs)
            })
            .collect();
        let mut last = root.sub("b4");
        let channels = config.channels(4);
        let last_conv = EqualisedConv::new(last.sub("conv"), channels + 1, channels, 3, act);
        let hidden = EqualisedLinear::new(last.sub("fc"), channels * 16, channels, act, 1.0, 0.0);
        let output = EqualisedLinear::new(last.sub("out"), channels, 1, Activation::Linear, 1.0, 0.0);
        Self {
            from_image,
            blocks,
            last_conv,
            hidden,
            output,
            mbstd_group: config.mbstd_group,
            compute,
            parameters: builder.finish(),
        }
    }
}

impl gan::Discriminator for Discriminator {
    fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    fn judge(&self, images: &Tensor, batches: i64) -> Tensor {
        let x = self.from_image.forward(&channels_last(&images.to_kind(self.compute)));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x));
        // The last layers are small and decide the logits: they stay in the parameters' own precision.
        let x = x.to_kind(self.parameters.flat().kind());
        let x = self.last_conv.forward(&minibatch_standard_deviation(&x, self.mbstd_group, batches));
        self.output.forward(&self.hidden.forward(&x.flatten(1, -1)))
    }
}

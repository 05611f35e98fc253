//! The discriminator: levels of two convolutions, each half as large, then minibatch standard deviation and two fully
//! connected layers. StyleGAN 1 uses it too, with a filter in front of every down-sampling.

use tch::{Device, Kind, Tensor};

use super::ProGanConfig;
use crate::engine::{Parameters, ParametersBuilder, Precision, channels_last};
use crate::generators::gan;
use crate::generators::growing::Growing;
use crate::layers::{Activation, Blur, EqualisedConv, EqualisedLinear, minibatch_standard_deviation};

const ACTIVATION: Activation = Activation::HeLeakyRelu;

struct Level {
    conv0: EqualisedConv,
    conv1: EqualisedConv,
}

/// Images `[n, planes, r, r]` to scores `[n, 1]`.
pub struct Discriminator {
    /// By level, the smallest first.
    from_image: Vec<EqualisedConv>,
    /// By level, without the first.
    levels: Vec<Level>,
    last_conv: EqualisedConv,
    hidden: EqualisedLinear,
    output: EqualisedLinear,
    blur: Option<Blur>,
    growing: Growing,
    mbstd_group: i64,
    compute: Kind,
    /// All values.
    pub parameters: Parameters,
}

impl Discriminator {
    /// A discriminator with initial weights that are a function of `seed`; `blurred` filters in front of
    /// down-sampling (Karras et al. 2019, appendix C).
    pub fn new(
        config: &ProGanConfig,
        blurred: bool,
        seed: u64,
        device: Device,
        precision: Precision,
    ) -> Self {
        Self::with_kind(config, blurred, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    pub fn with_kind(
        config: &ProGanConfig,
        blurred: bool,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let mut root = builder.root();
        let (mut from_image, mut levels) = (Vec::new(), Vec::new());
        for resolution in config.resolutions() {
            let mut scope = root.sub(&format!("b{resolution}"));
            let (own, below) = (config.channels(resolution), config.channels(resolution / 2));
            from_image.push(EqualisedConv::new(scope.sub("fromrgb"), config.planes, own, 1, ACTIVATION));
            if resolution > 4 {
                levels.push(Level {
                    conv0: EqualisedConv::new(scope.sub("conv0"), own, own, 3, ACTIVATION),
                    conv1: EqualisedConv::new(scope.sub("conv1"), own, below, 3, ACTIVATION).box_halved(),
                });
            }
        }
        let mut last = root.sub("b4");
        let (channels, width) = (config.channels(4), config.channels(2));
        let last_conv = EqualisedConv::new(last.sub("conv"), channels + 1, channels, 3, ACTIVATION);
        let hidden = EqualisedLinear::new(last.sub("fc"), channels * 16, width, ACTIVATION, 1.0, 0.0);
        let output = EqualisedLinear::new(last.sub("out"), width, 1, Activation::Linear, 1.0, 0.0);
        let growing = Growing::new(&mut root, from_image.len());
        Self {
            from_image,
            levels,
            last_conv,
            hidden,
            output,
            blur: blurred.then(|| Blur::new(device, parameters)),
            growing,
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
        let images = channels_last(&images.to_kind(self.compute));
        let block = |level: usize, x: &Tensor| {
            let Level { conv0, conv1 } = &self.levels[level - 1];
            let x = conv0.forward(x);
            conv1.forward(&self.blur.as_ref().map_or_else(|| x.shallow_clone(), |blur| blur.forward(&x)))
        };
        let x = self.growing.features(&images, |level, x| self.from_image[level].forward(x), block);
        // The last layers are small and decide the scores: they stay in the parameters' own precision.
        let x = x.to_kind(self.parameters.flat().kind());
        let x = self.last_conv.forward(&minibatch_standard_deviation(&x, self.mbstd_group, batches));
        self.output.forward(&self.hidden.forward(&x.flatten(1, -1)))
    }

    fn growing(&self) -> Option<&Growing> {
        Some(&self.growing)
    }
}

//! Swin Transformer (Liu et al., "Swin Transformer: hierarchical vision transformer using shifted windows", ICCV 2021,
//! arXiv 2103.14030) with the heads of UPerNet (Xiao et al., "Unified perceptual parsing for scene understanding", ECCV
//! 2018, arXiv 1807.10221), as the authors join them for segmentation.
//!
//! Parameters have the names of `UperNetForSemanticSegmentation` with a `SwinBackbone` in `transformers` 5.23, so
//! weights can be exchanged with it. As there and in the authors' code for segmentation, a feature map that windows do
//! not divide, or that is smaller than a window, is made up to whole windows with zeros, shift and mask included.
//!
//! # Deviations
//! * The last normalisation of `transformers`' backbone (`backbone.swin.layernorm`) is left out: nothing uses it.
//! * Stochastic depth acts on both branches of a block, as in the authors' code; `transformers` leaves out attention
//!   alone.
//! * Nothing is projected for positions of zeros (see `attention`), and the 3x3 convolution over all levels runs on
//!   the small features (see [`crate::layers::EnlargedConv`]): the same function in a part of the products.

mod attention;
mod config;
mod swin;
mod upernet;
mod windows;

pub use config::{SwinUPerNetConfig, SwinUPerNetConfigError};

use tch::{Device, Kind, Tensor};

use super::{Mode, Segmenter, pooled};
use crate::engine::{Parameters, ParametersBuilder, Precision};

use swin::Swin;
use upernet::{AuxiliaryHead, UPerHead};

/// Weight of the auxiliary head's loss beside 1 of the main head's, as published.
const AUXILIARY_WEIGHT: f64 = 0.4;

/// The network: images `[n, inputs, side, side]` to logits `[n, classes, side, side]`.
pub struct SwinUPerNet {
    config: SwinUPerNetConfig,
    compute: Kind,
    backbone: Swin,
    head: UPerHead,
    auxiliary: AuxiliaryHead,
    /// All values; running statistics of batch normalisation are buffers.
    pub parameters: Parameters,
}

impl SwinUPerNet {
    /// A network with initial weights that are a function of `seed`; `config` has been validated.
    pub fn new(config: &SwinUPerNetConfig, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of features given: f64 for tests.
    pub fn with_kind(
        config: &SwinUPerNetConfig,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let mut root = builder.root();
        let backbone = Swin::new(root.sub("backbone"), config);
        let head = UPerHead::new(root.sub("decode_head"), config);
        let auxiliary = AuxiliaryHead::new(root.sub("auxiliary_head"), config);
        Self { config: config.clone(), compute, backbone, head, auxiliary, parameters: builder.finish() }
    }

    /// Logits `[n, classes, side, side]` in the kind of the parameters, as in [`Mode::Predict`].
    pub fn forward(&self, images: &Tensor) -> Tensor {
        self.forward_deep(images, 1, Mode::Predict).swap_remove(0)
    }

    /// Logits of the main head and, with 2 `heads`, of the auxiliary one, enlarged to `[n, classes, side, side]`, in
    /// the kind of the parameters. In training stochastic depth draws from libtorch's generator of the device, which
    /// the caller seeds before each step, and a batch has two images or more.
    pub fn forward_deep(&self, images: &Tensor, heads: usize, mode: Mode) -> Vec<Tensor> {
        let training = mode == Mode::Train;
        let features = self.backbone.forward(&images.to_kind(self.compute), training);
        let side = [self.config.side, self.config.side];
        let kind = self.parameters.flat().kind();
        let enlarge = |x: &Tensor| x.to_kind(kind).upsample_bilinear2d(side, false, None, None);
        let mut logits = vec![enlarge(&self.head.forward(&features, training))];
        if heads > 1 {
            logits.push(enlarge(&self.auxiliary.forward(&features, training)));
        }
        logits
    }
}

impl Segmenter for SwinUPerNet {
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
        vec![1.0, AUXILIARY_WEIGHT]
    }

    fn forward_levels(&self, images: &Tensor, levels: usize, mode: Mode) -> Vec<Tensor> {
        self.forward_deep(images, levels, mode)
    }

    fn bottleneck(&self, images: &Tensor) -> Tensor {
        let stages = self.backbone.forward(&images.to_kind(self.compute), false);
        pooled(&stages[stages.len() - 1], self.parameters.flat().kind())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn images(n: i64, side: i64) -> Tensor {
        tch::manual_seed(11);
        Tensor::randn([n, 2, side, side], (Kind::Float, Device::Cpu))
    }

    #[test]
    fn outputs_have_the_side_asked_for() {
        // Windows that divide every stage but the last, that divide none, and that are larger than the last stages.
        for (side, window) in [(64, 2), (96, 5), (32, 4)] {
            let config = SwinUPerNetConfig { window, embedding: 8, ..SwinUPerNetConfig::tiny(2, 3, side) };
            config.validate().unwrap();
            let network = SwinUPerNet::new(&config, 1, Device::Cpu, Precision::F32);
            for logits in network.forward_deep(&images(2, side), 2, Mode::Train) {
                assert_eq!(logits.size(), [2, 3, side, side]);
            }
        }
    }

    #[test]
    fn training_depends_on_the_seed_and_prediction_does_not() {
        let config = SwinUPerNetConfig { drop_path: 0.5, ..SwinUPerNetConfig::tiny(2, 3, 32) };
        let network = SwinUPerNet::new(&config, 1, Device::Cpu, Precision::F32);
        let x = images(4, 32);
        let run = |seed, mode| {
            tch::manual_seed(seed);
            tch::no_grad(|| network.forward_deep(&x, 1, mode).swap_remove(0))
        };
        assert_eq!(run(1, Mode::Train), run(1, Mode::Train));
        assert_ne!(run(1, Mode::Train), run(2, Mode::Train));
        assert_eq!(run(1, Mode::Predict), run(2, Mode::Predict));
    }

    #[test]
    fn branches_are_left_out_as_often_as_asked_for() {
        tch::manual_seed(5);
        let drop = attention::DropPath::draw(&[0.0, 0.25], 4000, Kind::Float, Device::Cpu);
        let x = Tensor::zeros([4000, 1, 1], (Kind::Float, Device::Cpu));
        let branch = x.ones_like();
        assert_eq!(drop.add(&x, &branch, 0), branch);
        let kept = drop.add(&x, &branch, 1);
        let zeros = kept.eq(0.0).to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
        // Four standard deviations of the mean of 4000 draws.
        assert!((zeros - 0.25).abs() < 0.028, "{zeros}");
        assert!((kept.max().double_value(&[]) - 4.0 / 3.0).abs() < 1e-6);
    }

    #[test]
    fn bf16_stays_close_to_f32_and_returns_f32() {
        let config = SwinUPerNetConfig::tiny(2, 3, 64);
        let x = images(2, 64);
        let exact = SwinUPerNet::new(&config, 1, Device::Cpu, Precision::F32).forward(&x);
        let rough = SwinUPerNet::new(&config, 1, Device::Cpu, Precision::Bf16).forward(&x);
        assert_eq!(rough.kind(), Kind::Float);
        let error = (&rough - &exact).norm().double_value(&[]) / exact.norm().double_value(&[]);
        // bf16 keeps 8 bits: 0.4 % a rounding, through some thirty layers that do not amplify it.
        assert!(error < 0.05, "{error}");
    }
}

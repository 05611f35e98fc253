//! The heads: UPerNet (Xiao et al. 2018, figure 4), and the auxiliary head of fully convolutional networks.

use tch::Tensor;

use crate::engine::{Init, Scope};
use crate::layers::{BatchNorm, Conv2d, EnlargedConv};

use super::SwinUPerNetConfig;

/// Sides of the grids over which the lowest features are averaged (Zhao et al. 2017).
const POOLS: [i64; 4] = [1, 2, 3, 6];

/// The stage that the auxiliary head sees.
const AUXILIARY_STAGE: usize = 2;

/// Features of four stages to logits `[n, classes, s / 4, s / 4]`.
pub(super) struct UPerHead {
    pools: Vec<ConvNorm>,
    bottleneck: ConvNorm,
    laterals: Vec<ConvNorm>,
    outputs: Vec<ConvNorm>,
    fusion: Fusion,
    classifier: Conv2d,
}

impl UPerHead {
    pub(super) fn new(mut scope: Scope<'_>, config: &SwinUPerNetConfig) -> Self {
        let (lowest, width) = (config.features(3), config.decoder);
        let classifier = classifier(scope.sub("classifier"), width, config.classes);
        let pool = |index| ConvNorm::new(scope.sub(&format!("psp_modules.{index}.1")), lowest, width, 1);
        let pools = (0..POOLS.len()).map(pool).collect();
        let pooled = lowest + POOLS.len() as i64 * width;
        let bottleneck = ConvNorm::new(scope.sub("bottleneck"), pooled, width, 3);
        let laterals = (0..3).map(|stage| {
            ConvNorm::new(scope.sub(&format!("lateral_convs.{stage}")), config.features(stage), width, 1)
        });
        let laterals = laterals.collect();
        let output = |stage| ConvNorm::new(scope.sub(&format!("fpn_convs.{stage}")), width, width, 3);
        let outputs = (0..3).map(output).collect();
        let fusion = Fusion::new(scope.sub("fpn_bottleneck"), config);
        Self { pools, bottleneck, laterals, outputs, fusion, classifier }
    }

    /// In the kind of the features.
    pub(super) fn forward(&self, features: &[Tensor], training: bool) -> Tensor {
        let pyramid = self.pyramid(&features[3], training);
        let mut levels = vec![pyramid];
        for stage in (0..3).rev() {
            let lateral = self.laterals[stage].forward(&features[stage], training);
            let below = levels[levels.len() - 1].upsample_bilinear2d(&lateral.size()[2..], false, None, None);
            levels.push(below + lateral);
        }
        levels.reverse();
        for (level, output) in levels.iter_mut().zip(&self.outputs) {
            *level = output.forward(level, training);
        }
        self.classifier.forward(&self.fusion.forward(&levels, training))
    }

    /// Pyramid pooling of the lowest features: `[n, c, h, w] -> [n, decoder, h, w]`.
    fn pyramid(&self, lowest: &Tensor, training: bool) -> Tensor {
        let mut parts = vec![lowest.shallow_clone()];
        for (&side, pool) in POOLS.iter().zip(&self.pools) {
            let pooled = pool.forward(&lowest.adaptive_avg_pool2d([side, side]), training);
            parts.push(pooled.upsample_bilinear2d(&lowest.size()[2..], false, None, None));
        }
        self.bottleneck.forward(&Tensor::cat(&parts, 1), training)
    }
}

/// All levels at the resolution of the first, side by side, and a 3x3 convolution with normalisation and ReLU over them.
struct Fusion {
    weight: Tensor,
    norm: BatchNorm,
    /// Of the levels below the first.
    enlarged: Vec<EnlargedConv>,
}

impl Fusion {
    fn new(mut scope: Scope<'_>, config: &SwinUPerNetConfig) -> Self {
        let (device, kind, high) = (scope.device(), scope.kind(), config.stage_side(0));
        let enlarged = (1..4).map(|stage| EnlargedConv::new(config.stage_side(stage), high, device, kind));
        Self {
            weight: scope.sub("conv").parameter(
                "weight",
                &[config.decoder, 4 * config.decoder, 3, 3],
                he_normal(config.decoder, 3),
            ),
            norm: BatchNorm::new(scope.sub("batch_norm"), config.decoder),
            enlarged: enlarged.collect(),
        }
    }

    /// `levels` from the highest resolution down.
    fn forward(&self, levels: &[Tensor], training: bool) -> Tensor {
        let weights = self.weight.chunk(levels.len() as i64, 1);
        let weight = weights[0].to_kind(levels[0].kind());
        let first =
            levels[0].conv2d(&weight, None::<&Tensor>, [1, 1], [1, 1], [1, 1], 1).permute([0, 2, 3, 1]);
        let (n, h, w, c) = first.size4().unwrap_or_else(|_| panic!("features are [n, c, h, w]"));
        let mut sum = first.reshape([n * h, w, c]);
        for ((level, weight), conv) in levels.iter().zip(&weights).skip(1).zip(&self.enlarged) {
            sum = conv.add_to(&sum, level, weight);
        }
        self.norm.forward(&sum.view([n, h, w, c]).permute([0, 3, 1, 2]), training).relu_()
    }
}

/// The auxiliary head: a 3x3 convolution with normalisation and ReLU over the third stage, then logits.
pub(super) struct AuxiliaryHead {
    conv: ConvNorm,
    classifier: Conv2d,
}

impl AuxiliaryHead {
    pub(super) fn new(mut scope: Scope<'_>, config: &SwinUPerNetConfig) -> Self {
        let features = config.features(AUXILIARY_STAGE);
        Self {
            conv: ConvNorm::new(scope.sub("convs.0"), features, config.auxiliary, 3),
            classifier: classifier(scope.sub("classifier"), config.auxiliary, config.classes),
        }
    }

    /// Logits `[n, classes, s / 16, s / 16]` from the features of all stages.
    pub(super) fn forward(&self, features: &[Tensor], training: bool) -> Tensor {
        self.classifier.forward(&self.conv.forward(&features[AUXILIARY_STAGE], training))
    }
}

/// A convolution without bias that keeps the size, batch normalisation, ReLU: `[n, i, h, w] -> [n, o, h, w]`.
struct ConvNorm {
    conv: Conv2d,
    norm: BatchNorm,
}

impl ConvNorm {
    fn new(mut scope: Scope<'_>, inputs: i64, outputs: i64, kernel: i64) -> Self {
        Self {
            conv: Conv2d::same_without_bias(
                scope.sub("conv"),
                inputs,
                outputs,
                kernel,
                he_normal(outputs, kernel),
            ),
            norm: BatchNorm::new(scope.sub("batch_norm"), outputs),
        }
    }

    fn forward(&self, x: &Tensor, training: bool) -> Tensor {
        // The normalisation's own result is not needed by its backward pass, so ReLU overwrites it.
        self.norm.forward(&self.conv.forward(x), training).relu_()
    }
}

/// Logits of every pixel by itself.
fn classifier(scope: Scope<'_>, features: i64, classes: i64) -> Conv2d {
    Conv2d::same(scope, features, classes, 1, Init::Normal(0.01))
}

/// Initial weights of He et al. 2015 by the outputs, as in mmsegmentation.
fn he_normal(outputs: i64, kernel: i64) -> Init {
    Init::Normal((2.0 / (outputs * kernel * kernel) as f64).sqrt())
}

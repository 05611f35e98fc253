//! EfficientNet-lite0 (Tan and Le 2019; the "lite" variant of 2020 without squeeze-and-excitation and with ReLU6): features
//! learnt from ImageNet in 4.7 million weights under a free licence. Names of parameters are those of the PyTorch port.
//!
//! Images are enlarged to 224 x 224 and brought to (x - 127) / 128, as the network was trained. Convolutions of stride 2 pad
//! as TensorFlow does: the odd pixel below and to the right. Features are the 1,280 values behind the last pooling.

use tch::{Kind, Tensor};

use super::frozen::{ConvNorm, Form, Weights};
use super::{FeatureBatch, FeatureNetwork, resized_grey};
use crate::engine::{ParameterError, channels_last};

/// Side of the images that the network sees.
const SIDE: i64 = 224;
const DIMS: i64 = 1280;
const CLASSES: i64 = 1000;
/// Added to variances, as in the TensorFlow network.
const EPSILON: f64 = 1e-3;

/// (repeats, kernel, stride of the first, expansion, filters) of the stages: table 1 of the paper, lite0.
const STAGES: [(usize, i64, i64, i64, i64); 7] = [
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
];
/// Filters of the first convolution.
const STEM: i64 = 32;

/// The network; about 0.4 GFLOP an image.
pub struct EfficientNetLite0 {
    stem: Conv,
    blocks: Vec<Block>,
    head: Conv,
    classifier: Tensor,
    offsets: Tensor,
}

impl EfficientNetLite0 {
    /// The network with these weights.
    ///
    /// # Errors
    /// [`ParameterError`] when a tensor is missing, superfluous, of another shape, or not finite.
    pub fn new(mut weights: Weights) -> Result<Self, ParameterError> {
        let w = &mut weights;
        let stem = Conv::new(w, "_conv_stem", "_bn0", 3, STEM, 3, 2, 1)?;
        let mut blocks = Vec::new();
        let mut inputs = STEM;
        for (repeats, kernel, stride, expansion, outputs) in STAGES {
            for repeat in 0..repeats {
                let stride = if repeat == 0 { stride } else { 1 };
                let name = format!("_blocks.{}", blocks.len());
                blocks.push(Block::new(w, &name, inputs, outputs, kernel, stride, expansion)?);
                inputs = outputs;
            }
        }
        let head = Conv::new(w, "_conv_head", "_bn1", inputs, DIMS, 1, 1, 1)?;
        let classifier = w.take("_fc.weight", &[CLASSES, DIMS])?;
        let offsets = w.take("_fc.bias", &[CLASSES])?;
        weights.finish()?;
        Ok(Self { stem, blocks, head, classifier, offsets })
    }

    /// Features of images f32 `[n, 3, 224, 224]`.
    fn pooled(&self, images: &Tensor) -> Tensor {
        let x = relu6(self.stem.forward(&channels_last(images)));
        let x = self.blocks.iter().fold(x, |x, block| block.forward(&x));
        relu6(self.head.forward(&x)).mean_dim([2i64, 3].as_slice(), false, Kind::Float)
    }
}

impl FeatureNetwork for EfficientNetLite0 {
    fn dims(&self) -> i64 {
        DIMS
    }

    fn classes(&self) -> Option<i64> {
        Some(CLASSES)
    }

    fn features(&self, images: &Tensor) -> FeatureBatch {
        tch::no_grad(|| {
            let values = self.pooled(&((resized_grey(images, SIDE) - 127.0) / 128.0));
            let logits = values.linear(&self.classifier, Some(&self.offsets));
            FeatureBatch { values, probabilities: Some(logits.softmax(1, Kind::Float)) }
        })
    }
}

fn relu6(x: Tensor) -> Tensor {
    x.clamp(0.0, 6.0)
}

/// A square convolution with TensorFlow's padding, and its normalisation.
struct Conv {
    conv: ConvNorm,
    /// Pixels that only the end of an axis has more.
    uneven: i64,
}

impl Conv {
    #[expect(clippy::too_many_arguments, reason = "the form of a convolution and the names of its tensors")]
    fn new(
        weights: &mut Weights,
        conv: &str,
        norm: &str,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
        groups: i64,
    ) -> Result<Self, ParameterError> {
        // Sides are even wherever the stride is 2: kernel - stride pixels are added in all.
        let padding = (kernel - stride).max(0) / 2;
        let uneven = (kernel - stride).max(0) % 2;
        let form = Form { inputs, outputs, kernel: [kernel; 2], stride, padding: [padding; 2], groups };
        Ok(Self { conv: ConvNorm::new(weights, conv, norm, form, EPSILON)?, uneven })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        if self.uneven == 0 {
            return self.conv.forward(x);
        }
        // The convolution adds the same on both sides and has one pixel too few at the end of each axis.
        self.conv.forward(&x.constant_pad_nd([0, self.uneven, 0, self.uneven]))
    }
}

/// An inverted residual block (Sandler et al. 2018): widen, filter each channel, narrow.
struct Block {
    expand: Option<Conv>,
    depthwise: Conv,
    project: Conv,
    has_shortcut: bool,
}

impl Block {
    fn new(
        w: &mut Weights,
        name: &str,
        inputs: i64,
        outputs: i64,
        kernel: i64,
        stride: i64,
        expansion: i64,
    ) -> Result<Self, ParameterError> {
        let wide = inputs * expansion;
        let at = |part: &str| format!("{name}.{part}");
        let expand = if expansion == 1 {
            None
        } else {
            Some(Conv::new(w, &at("_expand_conv"), &at("_bn0"), inputs, wide, 1, 1, 1)?)
        };
        Ok(Self {
            expand,
            depthwise: Conv::new(w, &at("_depthwise_conv"), &at("_bn1"), wide, wide, kernel, stride, wide)?,
            project: Conv::new(w, &at("_project_conv"), &at("_bn2"), wide, outputs, 1, 1, 1)?,
            has_shortcut: stride == 1 && inputs == outputs,
        })
    }

    fn forward(&self, x: &Tensor) -> Tensor {
        let widened = self.expand.as_ref().map(|expand| relu6(expand.forward(x)));
        let filtered = relu6(self.depthwise.forward(widened.as_ref().unwrap_or(x)));
        let y = self.project.forward(&filtered);
        if self.has_shortcut { y + x } else { y }
    }
}

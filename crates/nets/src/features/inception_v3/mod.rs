//! Inception-v3 (Szegedy et al. 2016) in the variant of the published FID weights: the TensorFlow network of December 2015
//! with 1,008 classes, which the file `pt_inception-2015-12-05` holds for PyTorch.
//!
//! It differs from the network of torchvision in its average poolings, which leave the border out of the mean, and in the
//! last block, which pools by the maximum ([`blocks`]). Names of parameters are those of that file.
//!
//! Images are enlarged to 299 x 299 and brought to [-1, 1] as pytorch-fid does it. Features are the 2,048 values behind the
//! last pooling; the classes' probabilities leave the last layer's offsets out, as the Inception Score's authors do.

mod blocks;

use tch::{Kind, Tensor};

use super::frozen::Weights;
use super::{FeatureBatch, FeatureNetwork, resized_grey};
use crate::engine::{ParameterError, channels_last};
use blocks::{BlockA, BlockB, BlockC, BlockD, BlockE, Conv, max_pool};

/// Side of the images that the network sees.
const SIDE: i64 = 299;
const DIMS: i64 = 2048;
const CLASSES: i64 = 1008;

/// The network; about 5.7 GFLOP an image.
pub struct InceptionV3 {
    stem: [Conv; 3],
    middle: [Conv; 2],
    a: [BlockA; 3],
    b: BlockB,
    c: [BlockC; 4],
    d: BlockD,
    e: [BlockE; 2],
    /// `[classes, dims]`.
    classifier: Tensor,
}

impl InceptionV3 {
    /// The network with these weights.
    ///
    /// # Errors
    /// [`ParameterError`] when a tensor is missing, superfluous, of another shape, or not finite.
    pub fn new(mut weights: Weights) -> Result<Self, ParameterError> {
        let w = &mut weights;
        let network = Self {
            stem: [
                Conv::new(w, "Conv2d_1a_3x3", 3, 32, [3, 3], 2, [0, 0])?,
                Conv::new(w, "Conv2d_2a_3x3", 32, 32, [3, 3], 1, [0, 0])?,
                Conv::new(w, "Conv2d_2b_3x3", 32, 64, [3, 3], 1, [1, 1])?,
            ],
            middle: [
                Conv::new(w, "Conv2d_3b_1x1", 64, 80, [1, 1], 1, [0, 0])?,
                Conv::new(w, "Conv2d_4a_3x3", 80, 192, [3, 3], 1, [0, 0])?,
            ],
            a: [
                BlockA::new(w, "Mixed_5b", 192, 32)?,
                BlockA::new(w, "Mixed_5c", 256, 64)?,
                BlockA::new(w, "Mixed_5d", 288, 64)?,
            ],
            b: BlockB::new(w, "Mixed_6a", 288)?,
            c: [
                BlockC::new(w, "Mixed_6b", 128)?,
                BlockC::new(w, "Mixed_6c", 160)?,
                BlockC::new(w, "Mixed_6d", 160)?,
                BlockC::new(w, "Mixed_6e", 192)?,
            ],
            d: BlockD::new(w, "Mixed_7a")?,
            e: [BlockE::new(w, "Mixed_7b", 1280, false)?, BlockE::new(w, "Mixed_7c", 2048, true)?],
            classifier: w.take("fc.weight", &[CLASSES, DIMS])?,
        };
        // In the file, and of no use to us.
        let _ = w.take("fc.bias", &[CLASSES])?;
        weights.finish()?;
        Ok(network)
    }

    /// Features of images f32 `[n, 3, 299, 299]` in [-1, 1].
    fn pooled(&self, images: &Tensor) -> Tensor {
        let x = self.stem.iter().fold(channels_last(images), |x, conv| conv.forward(&x));
        let x = self.middle.iter().fold(max_pool(&x), |x, conv| conv.forward(&x));
        let x = self.a.iter().fold(max_pool(&x), |x, block| block.forward(&x));
        let x = self.c.iter().fold(self.b.forward(&x), |x, block| block.forward(&x));
        let x = self.e.iter().fold(self.d.forward(&x), |x, block| block.forward(&x));
        x.mean_dim([2i64, 3].as_slice(), false, Kind::Float)
    }
}

impl FeatureNetwork for InceptionV3 {
    fn dims(&self) -> i64 {
        DIMS
    }

    fn classes(&self) -> Option<i64> {
        Some(CLASSES)
    }

    fn features(&self, images: &Tensor) -> FeatureBatch {
        tch::no_grad(|| {
            let values = self.pooled(&(resized_grey(images, SIDE) * (2.0 / 255.0) - 1.0));
            let logits = values.linear(&self.classifier, None::<&Tensor>);
            FeatureBatch { values, probabilities: Some(logits.softmax(1, Kind::Float)) }
        })
    }
}

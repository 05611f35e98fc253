//! Segmentation networks, one family a file or folder, and what training and prediction need of any of them.

mod resenc;
mod swin_upernet;
mod unet;

pub use resenc::{ResEncConfig, ResEncConfigError, ResEncUNet};
pub use swin_upernet::{SwinUPerNet, SwinUPerNetConfig, SwinUPerNetConfigError};
pub use unet::{Padding, UNet, UNetConfig, UNetConfigError};

use tch::Tensor;

use crate::engine::Parameters;

/// What a pass is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A training step: layers draw at random, and batch statistics normalise and are remembered.
    Train,
    /// Everything is a function of image and weights, and no image depends on the others of its batch.
    Predict,
}

/// A network that gives a class to every pixel, whatever its family.
pub trait Segmenter {
    /// All values.
    fn parameters(&self) -> &Parameters;

    /// Image channels.
    fn inputs(&self) -> i64;

    /// Classes, background included.
    fn classes(&self) -> i64;

    /// Side of the label maps in pixels.
    fn side(&self) -> i64;

    /// Side of the images that the network sees, at least [`Self::side`]: the caller enlarges images to it with
    /// background on all sides.
    fn input_side(&self) -> i64 {
        self.side()
    }

    /// Weights in the loss of the levels that training supervises, the one that predicts first.
    fn level_weights(&self) -> Vec<f64>;

    /// Logits of the first `levels` levels (at least one, at most as many as [`Self::level_weights`]) for images
    /// `[n, inputs, input_side, input_side]`, each enlarged to `[n, classes, side, side]`, in the kind of the parameters.
    /// In [`Mode::Train`] some networks draw from libtorch's generator of the device, which the caller seeds.
    fn forward_levels(&self, images: &Tensor, levels: usize, mode: Mode) -> Vec<Tensor>;

    /// What the network makes of whole images `[n, inputs, input_side, input_side]` where it sees them most coarsely: the
    /// largest value over pixels of every feature there, `[n, features]`, in the kind of the parameters. As in
    /// [`Mode::Predict`].
    fn bottleneck(&self, images: &Tensor) -> Tensor;
}

/// The largest value over pixels of features `[n, c, h, w]`, `[n, c]`, in this kind. Their mean would say nothing where an
/// instance normalisation comes last: it makes the mean of every image the same.
fn pooled(features: &Tensor, kind: tch::Kind) -> Tensor {
    features.to_kind(kind).amax([2i64, 3].as_slice(), false)
}

/// Weights in the loss of a U-Net's levels (Isensee et al. 2021): each half of the one above, the lowest of several left
/// out, together 1.
pub fn halving_weights(levels: i64) -> Vec<f64> {
    let weights: Vec<f64> = (0..(levels - 1).max(1)).map(|level| 0.5f64.powi(level as i32)).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|weight| weight / sum).collect()
}

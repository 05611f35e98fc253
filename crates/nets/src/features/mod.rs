//! Networks that turn images into vectors; one network a file. A [`FeatureNetwork`] has fixed weights and measures how alike two
//! sets of images are; [`CopyEmbeddingNet`] learns to tell copies.

mod copy_embedding;
mod efficientnet_lite;
mod frozen;
mod inception_v3;
mod pose;
mod random_conv;

pub use copy_embedding::{CopyEmbeddingNet, CopyEmbeddingSizes};
pub use efficientnet_lite::EfficientNetLite0;
pub use frozen::Weights;
pub use inception_v3::InceptionV3;
pub use pose::canonical;
pub use random_conv::RandomConv;

use tch::Tensor;

/// What a network looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sees {
    /// One contrast at a time, as a grey image.
    OneContrast,
    /// All contrasts of an image together.
    AllContrasts,
}

/// What a network makes of some images.
#[derive(Debug)]
pub struct FeatureBatch {
    /// f32 `[n, dims]`.
    pub values: Tensor,
    /// Probabilities of the network's own classes, f32 `[n, classes]`, where it has any.
    pub probabilities: Option<Tensor>,
}

/// A network whose features are compared.
pub trait FeatureNetwork {
    /// Features of an image.
    fn dims(&self) -> i64;

    /// The network's own classes, where it has any.
    fn classes(&self) -> Option<i64> {
        None
    }

    /// What it looks at.
    fn sees(&self) -> Sees {
        Sees::OneContrast
    }

    /// Features of u8 images `[n, c, h, w]` on the network's device: one contrast, or all of them, as [`Self::sees`] says.
    /// Those of an image do not depend on the others beside it, up to rounding.
    fn features(&self, images: &Tensor) -> FeatureBatch;
}

/// u8 `[n, 1, h, w]` to f32 `[n, 3, side, side]` with values from 0 to 255: bilinear without smoothing
/// (`align_corners = false`), as pytorch-fid enlarges images, and the grey value in all three colours.
fn resized_grey(images: &Tensor, side: i64) -> Tensor {
    let grey = images.to_kind(tch::Kind::Float);
    let size = grey.size();
    assert_eq!(size[1], 1, "one contrast");
    let resized = if (size[2], size[3]) == (side, side) {
        grey
    } else {
        grey.upsample_bilinear2d([side, side], false, None, None)
    };
    resized.expand([size[0], 3, side, side], false)
}

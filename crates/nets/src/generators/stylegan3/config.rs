//! Hyper-parameters of the StyleGAN 3 generator.

use serde::{Deserialize, Serialize};

/// Which movements of the picture the generator follows (Karras et al. 2021, section 3.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Variant {
    /// Translations (configuration T, `stylegan3-t`): 3x3 convolutions, separable filters.
    #[serde(rename = "t")]
    Translation,
    /// Translations and rotations (configuration R, `stylegan3-r`): 1x1 convolutions, radially symmetric
    /// down-sampling filters; the published networks have twice as many feature maps as those of T.
    #[serde(rename = "r")]
    Rotation,
}

impl Variant {
    /// Side of the convolution kernels.
    pub fn kernel(self) -> i64 {
        match self {
            Variant::Translation => 3,
            Variant::Rotation => 1,
        }
    }
}

/// Sizes of the generator.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StyleGan3Config {
    /// Translation (`"t"`) or translation and rotation (`"r"`).
    pub variant: Variant,
    /// Side of the images, a power of two of at least 16.
    pub resolution: i64,
    /// Planes of an image: contrasts and annotation together.
    pub planes: i64,
    /// Length of the latent z.
    pub z_dim: i64,
    /// Length of the intermediate latent w.
    pub w_dim: i64,
    /// Fully connected layers from z to w; the paper used 2.
    pub mapping_layers: i64,
    /// Feature maps of a layer with cut-off f (cycles per image side) are min(channel_base / 2 f, channel_max).
    pub channel_base: i64,
    /// Most feature maps of any layer.
    pub channel_max: i64,
    /// Layers between the Fourier features and the image layer, at least 3; the paper used 14.
    pub layers: usize,
}

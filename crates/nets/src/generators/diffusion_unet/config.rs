//! Hyper-parameters of the diffusion U-Net.

use serde::{Deserialize, Serialize};

/// The network for images of one form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiffusionUNetConfig {
    /// Side of the images, a power of two.
    pub resolution: i64,
    /// Planes of an image: contrasts and annotation together.
    pub planes: i64,
    /// Planes of the output: as many, or twice as many with a variance for every value.
    pub outputs: i64,
    /// Everything else.
    pub sizes: DiffusionUNetSizes,
}

/// Sizes of the network, whatever the images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiffusionUNetSizes {
    /// Feature maps of the first level; the study used 64.
    pub channels: i64,
    /// Feature maps of each level as multiples of `channels`; the study used 1, 1, 2, 2, 4, 4.
    pub multipliers: Vec<i64>,
    /// Residual blocks of a level on the way down, and one less than on the way up; the study used 3.
    pub blocks: i64,
    /// Sides in pixels at which there is self-attention; the study used 16 and 8.
    pub attention: Vec<i64>,
    /// Heads of self-attention; the study used 4.
    pub heads: i64,
    /// Groups of group normalisation; the study used 32.
    pub norm_groups: i64,
    /// Side of the square of pixels that becomes one position of the first level, its pixels' planes side by
    /// side; 1 as published.
    pub patch: i64,
    /// Adds a learnt map to the features of the first level, and one to the lowest: images of one atlas space
    /// have fixed places for everything, which convolutions cannot see. Off as published.
    pub position: bool,
}

impl DiffusionUNetConfig {
    /// Planes of an image after patches have become positions.
    pub fn patch_planes(&self) -> i64 {
        self.planes * self.sizes.patch * self.sizes.patch
    }

    /// Planes of the output before positions become patches.
    pub fn patch_outputs(&self) -> i64 {
        self.outputs * self.sizes.patch * self.sizes.patch
    }

    /// Side of the features at a level; 0 is the first.
    pub fn side(&self, level: usize) -> i64 {
        (self.resolution / self.sizes.patch) >> level
    }

    /// Feature maps at a level.
    pub fn features(&self, level: usize) -> i64 {
        self.sizes.channels * self.sizes.multipliers[level]
    }

    /// Length of the embedding of the noise level.
    pub fn embedding(&self) -> i64 {
        4 * self.sizes.channels
    }
}

//! Hyper-parameters of networks that grow without styles.

use crate::generators::gan::{feature_maps, resolutions};

/// Sizes of the generator and the discriminator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProGanConfig {
    /// Side of the images when fully grown, a power of two of at least 8.
    pub resolution: i64,
    /// Planes of an image: contrasts and annotation together.
    pub planes: i64,
    /// Length of the latent z.
    pub z_dim: i64,
    /// Feature maps at resolution r are min(channel_base / r, channel_max); 16384 as published.
    pub channel_base: i64,
    /// Most feature maps at any resolution.
    pub channel_max: i64,
    /// Samples over which the discriminator computes the minibatch standard deviation.
    pub mbstd_group: i64,
}

impl ProGanConfig {
    /// Feature maps at a resolution.
    pub fn channels(&self, resolution: i64) -> i64 {
        feature_maps(self.channel_base, self.channel_max, resolution)
    }

    /// Resolutions of the levels, from 4 to the full one.
    pub fn resolutions(&self) -> impl DoubleEndedIterator<Item = i64> {
        resolutions(self.resolution)
    }
}

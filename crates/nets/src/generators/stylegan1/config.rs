//! Hyper-parameters of the StyleGAN 1 networks.

use crate::generators::progan::ProGanConfig;

/// Sizes of the generator and the discriminator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StyleGan1Config {
    /// What the networks have in common with those that they grew out of: the discriminator's configuration.
    pub base: ProGanConfig,
    /// Length of the intermediate latent w.
    pub w_dim: i64,
    /// Fully connected layers from z to w; 8 as published.
    pub mapping_layers: i64,
}

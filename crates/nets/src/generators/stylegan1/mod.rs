//! StyleGAN: Karras, Laine, Aila, "A style-based generator architecture for generative adversarial networks", CVPR 2019
//! (arXiv 1812.04948). Mapping network, constant input, noise inputs, adaptive instance normalisation (AdaIN) and
//! filtered resampling, growing progressively; the discriminator is Progressive GAN's with filters.
//!
//! Names of parameters follow those of StyleGAN 2, its successor; `tools/weights/README.md` has the table.

mod config;
mod synthesis;

pub use config::StyleGan1Config;
pub use synthesis::Synthesis;

use tch::{Device, Kind};

use super::mapping::Mapping;
use super::styled::Styled;
use crate::engine::{ParametersBuilder, Precision};
use crate::layers::Activation;

/// Mapping and synthesis networks of StyleGAN 1 with their parameters.
pub type Generator = Styled<Synthesis>;

impl Generator {
    /// A generator with initial weights that are a function of `seed`.
    pub fn new(config: &StyleGan1Config, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    pub fn with_kind(
        config: &StyleGan1Config,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let synthesis = Synthesis::new(builder.root().sub("synthesis"), config, compute);
        let (z_dim, w_dim, layers) = (config.base.z_dim, config.w_dim, config.mapping_layers);
        let mut root = builder.root();
        let mapping = Mapping::new(root.sub("mapping"), z_dim, w_dim, layers, Activation::HeLeakyRelu);
        Self { mapping, synthesis, parameters: builder.finish() }
    }
}

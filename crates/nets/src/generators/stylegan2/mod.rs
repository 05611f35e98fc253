//! StyleGAN 2: Karras, Laine, Aittala, Hellsten, Lehtinen, Aila, "Analyzing and improving the image quality
//! of StyleGAN", CVPR 2020 (arXiv 1912.04958). Mapping network, skip generator and residual discriminator of
//! configuration F, for any number of planes and any power-of-two resolution.
//!
//! Names of parameters are those of the reference implementation of 2021 (StyleGAN 2 with ADA), so that its
//! weights can be exchanged.
//!
//! Deviations: none in f32. In bf16 the convolution blocks compute in bfloat16; images are summed in f32.

mod config;
mod discriminator;
mod synthesis;

pub use config::StyleGan2Config;
pub use discriminator::Discriminator;
pub use synthesis::Synthesis;

use tch::{Device, Kind};

use super::mapping::Mapping;
use super::styled::Styled;
use crate::engine::{ParametersBuilder, Precision};
use crate::layers::Activation;

/// Mapping and synthesis networks of StyleGAN 2 with their parameters.
pub type Generator = Styled<Synthesis>;

impl Generator {
    /// A generator with initial weights that are a function of `seed`.
    pub fn new(config: &StyleGan2Config, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    pub fn with_kind(
        config: &StyleGan2Config,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let synthesis = Synthesis::new(builder.root().sub("synthesis"), config, compute);
        let (z_dim, w_dim, layers) = (config.z_dim, config.w_dim, config.mapping_layers);
        let mut root = builder.root();
        let mapping = Mapping::new(root.sub("mapping"), z_dim, w_dim, layers, Activation::LeakyRelu);
        Self { mapping, synthesis, parameters: builder.finish() }
    }
}

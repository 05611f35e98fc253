//! StyleGAN 3: Karras, Aittala, Laine, Harkonen, Hellsten, Lehtinen, Aila, "Alias-free generative adversarial
//! networks", NeurIPS 2021 (arXiv 2106.12423). The generators of configurations T and R, for any number of planes and
//! any power-of-two resolution of at least 16; the discriminator is StyleGAN 2's.
//!
//! Names of parameters are those of the reference implementation, so that its weights can be exchanged once its
//! filters (`up_filter`, `down_filter`), which are computed here, are left out.
//!
//! Deviations: weights and styles are not normalised before demodulation, which cancels in exact arithmetic (see
//! `layer.rs`). In bf16 the convolutions compute in bfloat16, in all layers instead of those of the highest
//! resolutions; demodulation, biases and images are in f32, filters as [`crate::layers::FilteredLrelu`] says.

mod config;
pub mod equivariance;
pub mod filters;
mod input;
mod layer;
mod schedule;
mod synthesis;

pub use config::{StyleGan3Config, Variant};
pub use input::{FourierFeatures, Placement};
pub use layer::Layer;
pub use schedule::{Band, bands};
pub use synthesis::Synthesis;

use tch::{Device, Kind};

use super::mapping::Mapping;
use super::styled::Styled;
use crate::engine::{ParametersBuilder, Precision};
use crate::layers::Activation;

/// Mapping and synthesis networks of StyleGAN 3 with their parameters.
pub type Generator = Styled<Synthesis>;

impl Generator {
    /// A generator with initial weights that are a function of `seed`.
    ///
    /// # Panics
    /// When the resolution is not a power of two of at least 16, or there are fewer than 3 layers.
    pub fn new(config: &StyleGan3Config, seed: u64, device: Device, precision: Precision) -> Self {
        Self::with_kind(config, seed, device, Kind::Float, precision.kind())
    }

    /// As [`Self::new`], with the kinds of parameters and of convolutions given: f64 for tests.
    ///
    /// # Panics
    /// As [`Self::new`].
    pub fn with_kind(
        config: &StyleGan3Config,
        seed: u64,
        device: Device,
        parameters: Kind,
        compute: Kind,
    ) -> Self {
        let mut builder = ParametersBuilder::with_kind(seed, device, parameters);
        let synthesis = Synthesis::new(builder.root().sub("synthesis"), config, compute);
        let StyleGan3Config { z_dim, w_dim, mapping_layers, .. } = *config;
        let mut root = builder.root();
        let mapping = Mapping::new(root.sub("mapping"), z_dim, w_dim, mapping_layers, Activation::LeakyRelu);
        Self { mapping, synthesis, parameters: builder.finish() }
    }
}

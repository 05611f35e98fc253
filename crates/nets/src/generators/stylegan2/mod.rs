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
mod mapping;
mod synthesis;

pub use config::StyleGan2Config;
pub use discriminator::Discriminator;
pub use mapping::Mapping;
pub use synthesis::{Noise, Synthesis};

use tch::{Device, Kind, Tensor};

use crate::engine::{Parameters, ParametersBuilder, Precision};

/// Mapping and synthesis networks with their parameters.
pub struct Generator {
    /// `z` to `w`.
    pub mapping: Mapping,
    /// `w` to images.
    pub synthesis: Synthesis,
    /// All values of both.
    pub parameters: Parameters,
}

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
        let mapping = Mapping::new(builder.root().sub("mapping"), config);
        Self { mapping, synthesis, parameters: builder.finish() }
    }

    /// Images `[n, planes, resolution, resolution]`, nominally in [-1, 1], from latents `z` `[n, z_dim]`.
    /// `truncation` 1 is none; smaller values move `w` towards its mean (Karras et al. 2019, appendix B).
    pub fn forward(&self, z: &Tensor, truncation: f64, noise: &Noise) -> Tensor {
        let w = self.mapping.truncated(&self.mapping.forward(z), truncation);
        let layers = self.synthesis.style_count();
        self.synthesis.forward(&w.unsqueeze(1).expand([-1, layers, -1], false), noise)
    }
}

//! Progressive GAN: Karras, Aila, Laine, Lehtinen, "Progressive growing of GANs for improved quality, stability, and
//! variation", ICLR 2018 (arXiv 1710.10196), table 2 with the numbers of feature maps as settings.
//!
//! Names of parameters follow those of StyleGAN 2, its successor; `tools/weights/README.md` has the table.
//!
//! Deviations: up-sampling followed by a convolution, and a convolution followed by down-sampling, are one
//! convolution with the sum of the shifted kernels each, which gives the same values.

mod config;
mod discriminator;
mod generator;

pub use config::ProGanConfig;
pub use discriminator::Discriminator;
pub use generator::Generator;

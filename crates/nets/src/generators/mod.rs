//! Generators of images with their annotation; one family a folder.

pub mod diffusion_unet;
pub mod gan;
pub mod growing;
mod mapping;
pub mod progan;
pub mod styled;
pub mod stylegan1;
pub mod stylegan2;
pub mod stylegan3;

pub use mapping::Mapping;

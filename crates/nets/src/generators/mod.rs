//! Generators of images with their annotation; one family a folder.

pub mod diffusion_unet;
pub mod stylegan2;

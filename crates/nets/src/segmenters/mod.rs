//! Segmentation networks, one family a file.

mod unet;

pub use unet::{Padding, UNet, UNetConfig, UNetConfigError};

//! Layers shared by the networks; one kind a file.

mod activation;
mod batch_norm;
mod conv;
mod enlarged_conv;
mod equalised;
mod filtered_lrelu;
mod fir;
mod gaussian_blur;
mod group_norm;
mod instance_norm;
mod layer_norm;
mod linear;
mod minibatch_std;
mod modulated;
mod pixel_norm;

pub use activation::leaky_relu;
pub use batch_norm::BatchNorm;
pub use conv::Conv2d;
pub use enlarged_conv::EnlargedConv;
pub use equalised::{Activation, EqualisedConv, EqualisedLinear};
pub use filtered_lrelu::{DownFilter, FilteredLrelu, FilteredLreluPlan};
pub use fir::{Blur, Fir};
pub use gaussian_blur::{gaussian_blur, smoothed};
pub use group_norm::GroupNorm;
pub use instance_norm::InstanceNorm;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use minibatch_std::minibatch_standard_deviation;
pub use modulated::{ModulatedConv, StyleGains};
pub use pixel_norm::pixel_norm;

//! Layers shared by the networks; one kind a file.

mod activation;
mod conv;
mod equalised;
mod fir;
mod group_norm;
mod linear;
mod minibatch_std;
mod modulated;

pub use activation::leaky_relu;
pub use conv::Conv2d;
pub use equalised::{Activation, EqualisedConv, EqualisedLinear};
pub use fir::Fir;
pub use group_norm::GroupNorm;
pub use linear::Linear;
pub use minibatch_std::minibatch_standard_deviation;
pub use modulated::{ModulatedConv, StyleGains};

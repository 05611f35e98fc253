//! Training of generators, whatever their family: configuration, the loop, and what a family has to offer.

mod config;
mod grid;
mod learner;
mod means;
mod trainer;

pub use config::{Family, GeneratorConfig, PRESETS};
pub(crate) use grid::bytes;
pub(crate) use learner::{AVERAGE, keyed_normal};
pub use learner::{DrawOptions, ImageSource, Learner, Measured, is_finite};
pub use means::Means;
pub use trainer::{GeneratorJob, train};

//! Adversarial training of generators.

mod augment;
mod config;
mod grid;
mod losses;
mod means;
mod state;
mod steps;
mod trainer;

pub use augment::{Augmentation, Controller};
pub use config::{
    Architecture, AugmentConfig, AugmentMode, GeneratorConfig, LossConfig, NetworkConfig, OptimiserConfig,
    PRESETS,
};
pub(crate) use grid::bytes;
pub use losses::{PathLength, discriminator_loss, generator_loss, path_length, r1_penalty};
pub use means::Means;
pub(crate) use state::AVERAGE;
pub use state::GanState;
pub use steps::{StepLosses, Steps};
pub use trainer::{GeneratorJob, train};

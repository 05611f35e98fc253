//! Adversarial training of generators.

mod augment;
mod config;
mod losses;
mod state;
mod steps;

pub use augment::{Augmentation, Controller};
pub use config::{AugmentConfig, AugmentMode, GanConfig, LossConfig, NetworkConfig, OptimiserConfig};
pub use losses::{PathLength, discriminator_loss, generator_loss, path_length, r1_penalty};
pub use state::{GanLearner, GanState};
pub use steps::Steps;

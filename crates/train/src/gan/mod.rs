//! Adversarial training of generators.

mod augment;
mod config;
mod learner;
mod losses;
mod state;
mod steps;

pub use augment::{Augmentation, Controller};
pub use config::{AugmentConfig, AugmentMode, GanConfig, LossConfig, NetworkConfig, OptimiserConfig};
pub use learner::GanLearner;
pub use losses::{Game, PathLength, gradient_penalty, path_length};
pub use state::GanState;
pub use steps::Steps;

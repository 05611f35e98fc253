//! Adversarial training of generators.

mod augment;
mod config;
mod growth;
mod learner;
mod losses;
mod networks;
mod state;
mod steps;

pub use augment::{Augmentation, Controller};
pub use config::{AugmentConfig, AugmentMode, GanConfig, GanRules, GanSettings, LossConfig, OptimiserConfig};
pub use growth::GrowthConfig;
pub(crate) use learner::DISCRIMINATOR;
pub use learner::{GanLearner, GanSource};
pub use losses::{Game, PathLength, gradient_penalty, path_length, wgan_gp};
pub use networks::{
    Networks, Place, ProGanSizes, Size, StyleGan1Sizes, StyleGan2Sizes, StyleGan3Sizes, StyleGanSizes,
};
pub use state::GanState;
pub use steps::Steps;
pub(crate) use steps::path_length_images;

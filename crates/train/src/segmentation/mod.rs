//! Training of segmentation networks, and prediction with them.
//!
//! The recipe is that of the study (Akbar et al. 2024): batch soft Dice plus cross-entropy at several decoder
//! levels, stochastic gradient descent with Nesterov momentum and a polynomial schedule. Images come from any
//! mix of stores. Training reads the `train` and `val` parts of those stores and nothing else: what is chosen
//! on synthetic images never saw a real one, and no part named `test` or `control` is ever touched.

mod augmentation;
mod config;
mod input;
mod losses;
mod predict;
mod sources;
mod trainer;
mod validation;

pub use augmentation::{Augmentation, AugmentationConfig, Change};
pub use config::{LossConfig, NetworkConfig, OptimiserConfig, PRESETS, SegmenterConfig};
pub use input::normalised;
pub use losses::{Target, deep_loss, deep_supervision_weights, dice_cross_entropy};
pub use predict::{Segmenter, SubjectPrediction, predict_store};
pub use sources::{Source, SourceError};
pub use trainer::{SegmenterJob, train};
pub use validation::DiceCounts;

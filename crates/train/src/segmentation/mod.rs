//! Training of segmentation networks, and prediction with them.
//!
//! The recipes are those of the study (Akbar et al. 2024): soft Dice plus cross-entropy at several levels, stochastic
//! gradient descent with Nesterov momentum for U-Nets and AdamW for Swin, polynomial schedules. Images come from any
//! mix of stores. Training reads the `train` and `val` parts of those stores and nothing else: what is chosen
//! on synthetic images never saw a real one, and no part named `test` or `control` is ever touched.

mod augmentation;
mod config;
mod family;
mod input;
mod losses;
mod optimiser;
mod predict;
mod seen;
mod sources;
mod trainer;
mod validation;

pub use augmentation::{Augmentation, AugmentationConfig, Change};
pub use config::{LossConfig, PRESETS, SegmenterConfig};
pub use family::{Family, ResEncSizes, SwinSizes, UNetSizes};
pub use input::{as_they_are, normalised};
pub use losses::{DiceForm, Target, deep_loss, dice_cross_entropy};
pub use optimiser::{Method, OptimiserConfig};
pub use predict::{Predictor, Segmenter, SubjectPrediction, Weights, predict_store};
pub use sources::{Source, SourceError};
pub use trainer::{SegmenterJob, train};
pub use validation::DiceCounts;

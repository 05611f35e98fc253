//! How close one set of images is to another: features, profiles and label maps in, numbers out. `docs/realism.md` gives
//! every definition and convention to the user.
//!
//! *Features* are what a network makes of images, a row an image: [`Features`]. The metrics on them are [`frechet`],
//! [`kid`], [`prdc`] and, on class probabilities, [`inception_score`]. The others need no network: [`ms_ssim`],
//! [`spectrum`], [`histogram`], [`contrast`] and [`annotation`].
//!
//! Products of features are in f32, which is what features are; every sum over images, covariances and their
//! decompositions are in f64.

pub mod annotation;
pub mod contrast;
mod eigen;
mod features;
pub mod frechet;
pub mod histogram;
pub mod inception_score;
pub mod kid;
pub mod ms_ssim;
pub mod prdc;
pub mod spectrum;
mod tiles;

pub use features::{FeatureError, FeatureMatrix, Features, Watch};

//! Training of generators and segmenters, and sampling from generators.
//!
//! Invariants: step n depends on (configuration, data digest, n) and on nothing else; the only counter of a
//! run is `images_seen`; everything else that resuming needs is in one checkpoint file. This crate prints
//! nothing and reads no clock: what it wants to say, and the time, go through [`Watch`].

pub mod adopt;
mod batches;
pub mod checkpoint;
pub mod config;
pub mod diffusion;
mod error;
pub mod gan;
pub mod generator;
mod label_counts;
pub mod membership;
mod opened;
pub mod planes;
pub mod replicas;
pub mod run;
pub mod sampling;
pub mod segmentation;
mod tensorboard;
mod watch;

pub use error::TrainError;
pub(crate) use watch::ended;
pub use watch::{Outcome, Watch};

//! Training from outside.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod adopt;
mod diffusion;
mod generator;
mod membership;
mod replicas;
mod segmentation;
mod segmentation_losses;
mod toy;

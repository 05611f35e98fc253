//! Networks and the engine under them: (config, parameters, tensors, keyed noise) -> tensors.
//!
//! Invariants: no file of a user (the engine asks `/proc` what the machine is), no clock, no global randomness
//! that a caller has not seeded; a network's parameters live in one flat tensor ([`engine::Parameters`]); names
//! of parameters are those of the reference implementations, so that weights can be exchanged.

mod allocator;
pub mod engine;
pub mod features;
pub mod generators;
pub mod layers;
pub mod segmenters;

pub use tch;

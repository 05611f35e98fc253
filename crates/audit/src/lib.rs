//! Whether a synthetic set copies the patients it was made from.
//!
//! Invariants: nothing here learns from any part of a store but the one that the generator learnt from.

pub mod embedding;

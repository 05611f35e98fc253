//! From a hospital's folder of NIfTI volumes to a store of 2-D multi-channel slices.
//!
//! Invariants: this is the only crate that sees patients' names (the rest sees pseudonyms), and it never
//! panics on a file from outside: every fault is an error that names the file, the expected and the found.

pub mod cohort;
pub mod import;
pub mod nifti;
pub mod phantom;
pub mod prepare;
pub mod sheet;
pub mod split;
pub mod store;

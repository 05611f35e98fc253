//! How close a synthetic set is to a real one: stores in, `realism.json` out. `docs/realism.md` explains the numbers.
//!
//! * [`Sets`] opens the stores and refuses what cannot be compared.
//! * [`measure`] streams the images through a [`FeatureSource`], contrast by contrast, and measures: one contrast's features
//!   are in memory at a time, and what was extracted is in a [`Cache`], so that an interrupted measurement goes on.
//! * Every number comes with an interval and with its *floor*, the same number between two halves of the real images
//!   ([`halves`]): what a perfect generator would get.
//!
//! Invariants: nothing is learnt here; a number is a function of stores, weights and seed; real images are divided by
//! subject, never by slice.

mod cache;
mod error;
mod extract;
pub mod halves;
mod images;
mod joint;
mod measure;
mod observer;
mod results;
mod sets;
mod source;

pub use cache::Cache;
pub use error::RealismError;
pub use measure::{Options, measure};
pub use observer::Observer;
pub use sets::Sets;
pub use source::{FeatureSource, INCEPTION_SHA256};

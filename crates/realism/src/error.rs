//! Why realism cannot be measured.

use std::path::PathBuf;

use synthmr_core::files::FileError;
use synthmr_data::store::StoreError;
use synthmr_metrics::realism::FeatureError;
use synthmr_nets::engine::ParameterError;

/// Why realism cannot be measured.
#[derive(Debug, thiserror::Error)]
pub enum RealismError {
    /// A store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Two stores show different things.
    #[error("{what}: expected {expected} as in {real}, found {found}\nhint: {hint}")]
    Mismatch {
        /// What differs, and of which store.
        what: String,
        /// What the real store has.
        expected: String,
        /// The real store.
        real: PathBuf,
        /// What the other has.
        found: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The real side is not real.
    #[error(
        "{path}: expected a cohort's store, found a synthetic set\n\
         hint: --real takes what `synthmr import` made; halves of it, by subject, say what a number is worth"
    )]
    NotReal {
        /// The store.
        path: PathBuf,
    },
    /// A set has too few images for any metric.
    #[error(
        "{path}: expected at least {needed} images, found {found}\nhint: draw more images, or use more subjects"
    )]
    TooFew {
        /// The store.
        path: PathBuf,
        /// What is needed.
        needed: usize,
        /// What there is.
        found: usize,
    },
    /// Both sides hold the same images.
    #[error(
        "{path}: {shared} of its images are on the real side too\nhint: compare a synthetic set with the real one, or two \
         parts of a cohort"
    )]
    Shared {
        /// The store.
        path: PathBuf,
        /// Number of images.
        shared: usize,
    },
    /// A file of weights is not what it should be.
    #[error("{path}: expected {expected}, found {found}\nhint: {hint}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What a good file is.
        expected: String,
        /// What this one is.
        found: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// The tensors of a file do not fit the network.
    #[error("{path}: {source}")]
    Parameters {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: ParameterError,
    },
    /// A metric has no value.
    #[error("{features}, {channel}: {source}")]
    Metric {
        /// The features.
        features: String,
        /// The contrast.
        channel: String,
        /// Why.
        source: FeatureError,
    },
    /// Stopped on request; what was extracted is kept.
    #[error("interrupted; extracted features are kept\nhint: run the same command again")]
    Interrupted,
}

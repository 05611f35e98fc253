//! What can be wrong with an embedding.

use std::path::PathBuf;

use synthmr_core::files::FileError;
use synthmr_data::store::StoreError;
use synthmr_nets::engine::ParameterError;

/// Why an embedding cannot be trained, used, saved or read.
#[derive(Debug, thiserror::Error)]
pub enum EmbeddingError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// Images of another form than is needed.
    #[error("{what}: expected {expected}, found {found}")]
    Images {
        /// What they are.
        what: &'static str,
        /// The form.
        expected: String,
        /// The form found.
        found: String,
    },
    /// Nothing to tell images apart from.
    #[error(
        "copy embedding: expected training slices of at least 2 subjects, found {found}\n\
         hint: it learns what makes subjects differ; use the other measures alone"
    )]
    Subjects {
        /// Subjects found.
        found: usize,
    },
    /// A setting that cannot be used.
    #[error("copy embedding: {key}: expected {expected}, found {found}")]
    Setting {
        /// The setting.
        key: &'static str,
        /// The values that are accepted.
        expected: &'static str,
        /// The value as given.
        found: String,
    },
    /// The file is no embedding.
    #[error("{path} is not a copy embedding: expected {expected}, found {found}\nhint: train it again")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What an embedding has there.
        expected: String,
        /// What this file has there.
        found: String,
    },
    /// Stored weights do not fit the network.
    #[error("{path}: {source}")]
    Weights {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        source: ParameterError,
    },
    /// Training has diverged.
    #[error(
        "copy embedding: the loss is not a finite number after {images_seen} images\nhint: lower the rate"
    )]
    NotFinite {
        /// Images seen when it happened.
        images_seen: u64,
    },
    /// The caller wished to stop.
    #[error(
        "interrupted: the embedding was not trained to its end\nhint: run the same command again; it begins anew"
    )]
    Interrupted,
}

//! Why training or sampling stops.

use std::path::PathBuf;

use synthmr_core::files::FileError;
use synthmr_data::store::{SelectionError, StoreError};
use synthmr_nets::engine::ParameterError;

use crate::checkpoint::CheckpointError;
use crate::run::RunError;

/// Why training, sampling or prediction cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum TrainError {
    /// The run folder.
    #[error(transparent)]
    Run(#[from] RunError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store and its part.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A file.
    #[error(transparent)]
    File(#[from] FileError),
    /// Stored weights do not fit the network.
    #[error("{path}: {source}")]
    Weights {
        /// The run.
        path: PathBuf,
        /// What does not fit.
        source: ParameterError,
    },
    /// Configuration and data do not belong together.
    #[error("{what}: expected {expected}, found {found}\nhint: {hint}")]
    Mismatch {
        /// The setting or property.
        what: String,
        /// What the configuration or the network asks for.
        expected: String,
        /// What is there.
        found: String,
        /// What a person can do.
        hint: String,
    },
    /// A value of the configuration cannot be used.
    #[error("configuration: {key}: expected {expected}, found {found}")]
    Config {
        /// The key.
        key: &'static str,
        /// The values that are accepted.
        expected: String,
        /// The value as given.
        found: String,
    },
    /// A value of the configuration is no number.
    #[error("configuration: {key}: expected {expected}")]
    Setting {
        /// The key, dotted.
        key: String,
        /// The values that are accepted.
        expected: String,
    },
    /// Training has diverged.
    #[error(
        "{what} is not a finite number after {images_seen} images\nhint: training diverged; the last good \
         checkpoint is kept. Lower the learning rate or raise the regularisation, in a new folder"
    )]
    NotFinite {
        /// Name of the value.
        what: String,
        /// Images seen when it happened.
        images_seen: u64,
    },
    /// A generator gave an image that is none.
    #[error(
        "{what} is not a finite number\nhint: in bf16 or with other sampler settings than the run's own a model can \
         leave the range of numbers; try the run's own settings"
    )]
    Drawn {
        /// Where it came from.
        what: String,
    },
    /// The configuration of a run is not one of this version.
    #[error(
        "{path}: not a configuration of this version: {reason}\nhint: use the version that began the run"
    )]
    Foreign {
        /// Its `run.json`.
        path: PathBuf,
        /// What does not fit.
        reason: String,
    },
    /// The checkpoint of a run lacks a part of the state.
    #[error("{path}: the checkpoint has no usable {part:?}\nhint: it was written by another version")]
    State {
        /// The run.
        path: PathBuf,
        /// Name of the part.
        part: String,
    },
}

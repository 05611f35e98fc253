//! What can be wrong with a store.

use std::path::PathBuf;

use synthmr_core::Split;
use synthmr_core::files::FileError;

/// Why a store cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The path is not a folder with a manifest.
    #[error(
        "{path} is not a slice store: expected a folder with manifest.json, found {found}\n\
         hint: `synthmr import` and `synthmr sample` make stores"
    )]
    NotAStore {
        /// The path.
        path: PathBuf,
        /// What is there instead.
        found: &'static str,
    },
    /// The manifest was written by another version.
    #[error(
        "{path}: expected schema {expected}, found {found}\n\
         hint: use the version of synthmr that wrote it, or make the store again"
    )]
    Schema {
        /// The manifest.
        path: PathBuf,
        /// The schema that this version reads.
        expected: u32,
        /// The schema in the file.
        found: u64,
    },
    /// The manifest contradicts itself or a limit.
    #[error("{path}: {message}\nhint: the store was changed after it was written; make it again")]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A shard that the manifest lists is not there.
    #[error("{path} is missing: the manifest lists it\nhint: copy the whole store folder, or make it again")]
    MissingShard {
        /// The shard.
        path: PathBuf,
    },
    /// A shard is not what the manifest says.
    #[error("{path} is damaged: {message}\nhint: copy the store again from its source, or make it again")]
    DamagedShard {
        /// The shard.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A label pixel is not a class of the scheme.
    #[error(
        "{path}, slice {slice}: expected label values below {classes}, found {found}\n\
         hint: labels in a store are class indices, not the source's values"
    )]
    Label {
        /// The store.
        path: PathBuf,
        /// Index of the slice in the store.
        slice: usize,
        /// Number of classes, background included.
        classes: usize,
        /// The largest value found.
        found: u8,
    },
    /// A store without slices.
    #[error("{path}: expected at least one slice, found none\nhint: {hint}")]
    Empty {
        /// The store.
        path: PathBuf,
        /// What to do about it.
        hint: &'static str,
    },
    /// The part asked for has no slices.
    #[error("{path}: expected slices in the part `{split}`, found none\nhint: {hint}")]
    EmptySplit {
        /// The store.
        path: PathBuf,
        /// The part.
        split: Split,
        /// Which parts have slices.
        hint: String,
    },
    /// More slices than an index can number.
    #[error("{path}: more than {limit} slices in one store\nhint: write several stores")]
    TooLarge {
        /// The store.
        path: PathBuf,
        /// The limit.
        limit: usize,
    },
}

//! Why an audit cannot be made.

use synthmr_core::files::FileError;
use synthmr_data::store::StoreError;
use synthmr_metrics::MetricsError;

use crate::embedding::EmbeddingError;

/// Why an audit cannot be made. What an audit finds is no error.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// A store cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A number that should be one is not.
    #[error(transparent)]
    Metrics(#[from] MetricsError),
    /// The copy embedding cannot be trained or used.
    #[error(transparent)]
    Embedding(EmbeddingError),
    /// The two stores do not belong together.
    #[error("{what}: expected {expected}, found {found}\nhint: {hint}")]
    Mismatch {
        /// What does not fit.
        what: String,
        /// What was expected.
        expected: String,
        /// What is there.
        found: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A part of the cohort is missing or too small for any statement.
    #[error(
        "{store}: expected at least {expected} subjects in the part `{part}`, found {found}\n\
         hint: an audit compares with subjects that were held out: import the cohort with \
         --split train=0.6,val=0.1,control=0.1,test=0.2, and train nothing on val and control"
    )]
    Part {
        /// The store.
        store: String,
        /// The part.
        part: synthmr_core::Split,
        /// Subjects needed.
        expected: usize,
        /// Subjects found.
        found: usize,
    },
    /// A gates file is not what it should be.
    #[error("{path}: {message}\nhint: the default gates are in docs/audit.md")]
    Gates {
        /// The file.
        path: String,
        /// What was expected and found.
        message: String,
    },
    /// The memory allowed does not hold the reference.
    #[error(
        "expected at least {needed_gib:.1} GiB for {images} real images, found a limit of {limit_gib:.1}\n\
         hint: raise --memory-gib"
    )]
    Memory {
        /// What is needed.
        needed_gib: f64,
        /// Images of the cohort.
        images: usize,
        /// What is allowed.
        limit_gib: f64,
    },
    /// A verdict with a word that promises what no audit can.
    #[error("a verdict must not say {word:?}")]
    Wording {
        /// The word.
        word: &'static str,
    },
    /// It was asked to stop; the same command goes on.
    #[error("interrupted\nhint: run the same command again; finished blocks are kept")]
    Interrupted,
}

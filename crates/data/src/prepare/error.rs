//! What can be wrong with a subject's volumes.

use std::path::PathBuf;

use synthmr_core::{SubjectId, limits};

use crate::cohort::Finding;
use crate::nifti::NiftiError;

/// Why a subject cannot be prepared.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// A resolution that slices cannot have.
    #[error(
        "expected a resolution that is a power of two from {smallest} to {}, found {found}\nhint: 64, 128 or 256",
        limits::RESOLUTION
    )]
    Resolution {
        /// What was asked for.
        found: usize,
        /// The smallest that is possible.
        smallest: usize,
    },
    /// A recipe that does not exist.
    #[error(
        "expected the recipe `paper` or `robust`, found {found:?}\nhint: `robust` is meant for new cohorts"
    )]
    Recipe {
        /// What was asked for.
        found: String,
    },
    /// A volume could not be read.
    #[error("subject {subject}: {source}")]
    Read {
        /// The subject.
        subject: SubjectId,
        /// What is wrong with which file.
        source: NiftiError,
    },
    /// A volume that `synthmr check` calls a fault: its values, its place, or its content under two names.
    #[error(
        "subject {}: {}: expected {}, found {}\nhint: {}",
        finding.subject, finding.file, finding.expected, finding.found, finding.hint
    )]
    Fault {
        /// What is wrong with which file.
        finding: Box<Finding>,
    },
    /// Nothing to scale by.
    #[error(
        "subject {subject}: {path}: expected positive intensities inside the brain, found none\nhint: the volume may be empty, or already normalised to a mean of 0"
    )]
    NoSignal {
        /// The subject.
        subject: SubjectId,
        /// The volume.
        path: PathBuf,
    },
    /// Annotation values without a class.
    #[error(
        "subject {subject}: {path}: expected annotation values among {expected:?}, found {found:?} ({voxels} voxels)\nhint: give the label map in cohort.toml, and resample annotations by nearest neighbour"
    )]
    UnknownLabel {
        /// The subject.
        subject: SubjectId,
        /// The annotation.
        path: PathBuf,
        /// The values that have a class.
        expected: Vec<i32>,
        /// Up to five that have none.
        found: Vec<f32>,
        /// How many voxels have such a value.
        voxels: usize,
    },
}

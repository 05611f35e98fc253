//! What can be wrong with a subject's volumes.

use std::path::PathBuf;

use synthmr_core::{SubjectId, limits};

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
    /// Voxels that are no numbers.
    #[error(
        "subject {subject}: {path}: expected finite voxels, found {count} that are NaN or infinite\nhint: export the volume again, or set those voxels to 0"
    )]
    NonFinite {
        /// The subject.
        subject: SubjectId,
        /// The volume.
        path: PathBuf,
        /// How many.
        count: usize,
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
    /// Volumes of different extents.
    #[error(
        "subject {subject}: {path}: expected {expected:?} voxels (left, posterior, superior) as in {reference}, found {found:?}\nhint: register the volumes of a subject to one grid first"
    )]
    Shape {
        /// The subject.
        subject: SubjectId,
        /// The volume that differs.
        path: PathBuf,
        /// The subject's first volume.
        reference: PathBuf,
        /// Its extents.
        expected: [usize; 3],
        /// The extents of the volume that differs.
        found: [usize; 3],
    },
    /// Volumes in different places.
    #[error(
        "subject {subject}: {path}: expected the place of {reference} to within {limit_mm:.3} mm, found a corner {distance_mm:.3} mm away\nhint: register the volumes of a subject to one grid first"
    )]
    Place {
        /// The subject.
        subject: SubjectId,
        /// The volume that differs.
        path: PathBuf,
        /// The subject's first volume.
        reference: PathBuf,
        /// How far corners may be apart.
        limit_mm: f64,
        /// How far they are.
        distance_mm: f64,
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

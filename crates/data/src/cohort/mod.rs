//! Cohorts: which file is which contrast of which subject.

mod brats;
mod check;
mod contents;
mod description;
mod discover;
mod duplicates;
mod finding;
mod layout;
mod pattern;
mod walk;

use std::path::PathBuf;

use synthmr_core::files::FileError;
use synthmr_core::{LabelScheme, SubjectId};

pub(crate) use contents::{check_finite, check_grid, check_header, check_image, digest};
pub(crate) use duplicates::{Contents, Holder};
pub(crate) use finding::printable;

pub use check::{CheckReport, check};
pub use discover::discover;
pub use finding::{Finding, Level};

/// A folder of subjects, each with the same contrasts and an annotation.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// Names of the contrasts in the order of [`CohortSubject::images`]: `T1`, `T1ce`, `T2`, `FLAIR` for BraTS.
    pub channels: Vec<String>,
    /// What the annotation's values mean.
    pub labels: LabelScheme,
    /// The subjects in the order of their names.
    pub subjects: Vec<CohortSubject>,
    /// What a person should know before using it, such as links that lead out of the folder.
    pub warnings: Vec<Finding>,
}

/// The files of one subject.
#[derive(Clone, Debug)]
pub struct CohortSubject {
    /// The subject's name in the hospital.
    pub id: SubjectId,
    /// One volume a contrast.
    pub images: Vec<PathBuf>,
    /// The annotation.
    pub annotation: PathBuf,
}

/// Why a folder is not a cohort.
#[derive(Debug, thiserror::Error)]
pub enum CohortError {
    /// A file or folder cannot be read, or `cohort.toml` is not what it should be.
    #[error(transparent)]
    File(#[from] FileError),
    /// No file has a name that the layout knows.
    #[error("{}: no subject found: expected files such as {example}\nhint: describe other names in a cohort.toml", path.display())]
    Empty {
        /// The folder.
        path: PathBuf,
        /// A name that would have been recognised.
        example: String,
    },
    /// The folder is a cohort, with faults.
    #[error("{}: {} faults; the first: {}", path.display(), findings.len(), findings[0])]
    Faults {
        /// The folder.
        path: PathBuf,
        /// At least one fault.
        findings: Vec<Finding>,
    },
}

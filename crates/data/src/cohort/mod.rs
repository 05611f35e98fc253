//! Cohorts: which file is which contrast of which subject.

use std::path::PathBuf;

use synthmr_core::{LabelScheme, SubjectId};

/// A folder of subjects, each with the same contrasts and an annotation.
#[derive(Clone, Debug)]
pub struct Cohort {
    /// Names of the contrasts in the order of [`CohortSubject::images`]: `T1`, `T1ce`, `T2`, `FLAIR` for BraTS.
    pub channels: Vec<String>,
    /// What the annotation's values mean.
    pub labels: LabelScheme,
    /// The subjects in the order of their names.
    pub subjects: Vec<CohortSubject>,
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

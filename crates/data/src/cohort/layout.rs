//! What a naming convention has to say about a file.

use std::path::Path;

use synthmr_core::LabelScheme;

/// What a volume is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    /// The contrast of this index.
    Channel(usize),
    /// The annotation.
    Annotation,
}

/// A file that the convention knows.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) role: Role,
    /// The subject it belongs to.
    pub(super) subject: String,
    /// The subject's name as its file name has it; differs from `subject` in a cohort with a mistake.
    pub(super) name_in_file: String,
}

/// A naming convention.
pub(super) trait Layout {
    /// Names of the contrasts, in order.
    fn channels(&self) -> Vec<String>;
    /// What the annotation's values mean.
    fn labels(&self) -> LabelScheme;
    /// The file name that a subject's volume would have, for messages.
    fn example(&self, role: Role, subject: &str) -> String;
    /// The part that a file plays, by its path relative to the cohort.
    fn find(&self, relative: &Path) -> Option<Match>;
}

/// A volume's name without `.nii` or `.nii.gz`.
pub(super) fn nifti_stem(name: &str) -> Option<&str> {
    name.strip_suffix(".nii.gz").or_else(|| name.strip_suffix(".nii"))
}

//! Why a volume cannot be read or written.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use synthmr_core::files::{self, FileError};

/// What part of a file was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The kind of file: not NIfTI-1, or a relative of it that is not read.
    Format,
    /// A field of the 348-byte header.
    Header,
    /// The blocks between the header and the voxels.
    Extension,
    /// The gzip stream around the file.
    Gzip,
    /// The voxels: fewer or more than the header declares, or not writable as the wanted type.
    Data,
}

/// One refused file: what was expected where, what was found, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The file.
    pub path: PathBuf,
    /// The part of the file.
    pub part: Part,
    /// The field or quantity, such as `dim[0]` or `vox_offset`.
    pub field: String,
    /// What a readable file has there.
    pub expected: String,
    /// What this file has there.
    pub found: String,
    /// What the user can do.
    pub hint: &'static str,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { path, field, expected, found, hint, .. } = self;
        write!(f, "{}: {field}: expected {expected}, found {found}\nhint: {hint}", path.display())
    }
}

/// What went wrong with a volume.
#[derive(Debug, thiserror::Error)]
pub enum NiftiError {
    /// The operating system refused, or the file is not a regular file.
    #[error(transparent)]
    File(#[from] FileError),
    /// The content was refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
}

impl NiftiError {
    /// The refusal, when the content was refused.
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::File(_) => None,
        }
    }
}

/// A refusal before the path is known; parsers return it, [`Fault::at`] adds the file.
#[derive(Debug)]
pub(super) struct Fault {
    pub(super) part: Part,
    pub(super) field: String,
    pub(super) expected: String,
    pub(super) found: String,
    pub(super) hint: &'static str,
}

impl Fault {
    pub(super) fn new(
        part: Part,
        field: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { part, field: field.into(), expected: expected.into(), found: found.into(), hint }
    }

    pub(super) fn at(self, path: &Path) -> NiftiError {
        let Self { part, field, expected, found, hint } = self;
        NiftiError::Refused(Box::new(Refusal { path: path.to_owned(), part, field, expected, found, hint }))
    }
}

/// An error of the operating system while reading `path`.
pub(super) fn read_error(path: &Path, source: io::Error) -> NiftiError {
    NiftiError::File(files::at("read", path)(source))
}

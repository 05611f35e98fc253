//! NIfTI-1 volumes, in and out.
//!
//! The standard is nifti1.h of the NIfTI Data Format Working Group (2003, with its later clarifications);
//! where practice differs from it, nibabel is the judge: a file is read with nibabel's meaning or refused.
//! Refused although nibabel reads them: headers that contradict themselves (`bitpix`, codes out of range),
//! units other than millimetres, bytes after the voxels, and gzip streams whose checksum does not match.

mod affine;
mod datatype;
mod error;
mod grid;
mod gzip;
mod header;
mod orient;
mod reader;
mod source;
mod volume;
mod writer;

pub(crate) use grid::{Grid, largest_distance};

pub use datatype::Datatype;
pub use error::{NiftiError, Part, Refusal};
pub use header::{AffineSource, Header};
pub use orient::{AxisCodes, AxisCodesError};
pub use reader::{read, read_header, read_reusing, read_with_header};
pub use volume::Volume;
pub use writer::write;

//! NIfTI-1 volumes, in and out.

mod volume;

pub use volume::Volume;

//! What every other crate of synthmr agrees on: identifiers, random streams, digests, the one way to
//! write a file, limits, and the records that pass from one step to the next.
//!
//! Invariants: this is the only crate that creates files ([`files`]), and it knows nothing of tensors,
//! of command lines, or of any other crate of the workspace.

pub mod files;
pub mod ids;
pub mod labels;
pub mod limits;
pub mod random;
pub mod records;

pub use ids::{Digest, Split, SubjectId};
pub use labels::{LabelEncoding, LabelScheme};

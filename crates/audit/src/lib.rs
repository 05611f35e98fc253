//! Does a synthetic set copy its patients?
//!
//! Every synthetic image is compared with every real one ([`detectors`]), and its nearest subject with the others: what
//! stands out more than a new subject's image does ([`calibration`]) is flagged. Planted copies ([`planted`]) say what would have
//! been found, control subjects what is flagged by chance, and a rule puts both into words ([`verdict`]). `docs/audit.md`
//! explains it to the user.
//!
//! Invariants: nothing learns from any part of a store but the one that the generator learnt from; control subjects decide
//! nothing, they are searched last. A verdict always carries its control. What names an image or a subject ([`Audit::images`],
//! [`Audit::pairs`], finished blocks) is apart from what does not ([`Audit::record`]).

mod alignment;
mod audit;
pub mod calibration;
mod conclusion;
pub mod detectors;
pub mod embedding;
mod error;
mod filter;
mod flagged;
pub mod foreground;
pub mod gates;
pub mod planted;
pub mod pose;
pub mod searcher;
mod sensitivity;
mod sets;
pub mod slices;
pub mod statistics;
pub mod verdict;
mod work;

pub use audit::{Audit, AuditOptions, audit};
pub use error::AuditError;
pub use filter::{filter, sampled};
pub use searcher::Searcher;
pub use work::{Watch, Work};

//! The report of a study: one HTML file that opens offline, on a laptop, on a narrow window and on paper.
//!
//! It is read by a data steward, who starts at the summary and ends at the glossary, and by a researcher,
//! who wants every interval, curve and setting. Both see only what records say: a part without its record
//! says what is missing and which command makes it.
//!
//! Invariants: this crate cannot open a store and never sees a volume, only records and the pictures that
//! other steps made for people. The page makes no request of any kind (a content security policy forbids
//! it) and runs no script. Every text from a record is escaped by the templates.
//!
//! ```no_run
//! use std::path::Path;
//! use synthmr_report::{
//!     AuditInput, ComparisonInput, EvaluationInput, RealismInput, ReportInputs, RunInput, StoreInput, access,
//!     render,
//! };
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let inputs = ReportInputs {
//!     title: "Phantom cohort".into(),
//!     real: Some(StoreInput::load(Path::new("ph.store"))?),
//!     synthetic: Some(StoreInput::load(Path::new("syn.store"))?),
//!     runs: vec![RunInput::load(Path::new("gen"))?],
//!     evaluations: vec![EvaluationInput::load("synthetic", Path::new("eval.json"))?],
//!     comparisons: vec![ComparisonInput::load(Path::new("compare.json"))?],
//!     realism: vec![RealismInput::load(None, Path::new("realism.json"))?],
//!     audit: Some(AuditInput::load(Path::new("audit/audit.json"))?),
//! };
//! let html = render(&inputs)?;
//! synthmr_core::files::write_with(Path::new("report.html"), access(&inputs), |file| {
//!     file.write_all(html.as_bytes())
//! })?;
//! # Ok(())
//! # }
//! ```

mod audit;
mod check;
mod encode;
mod error;
mod figures;
mod format;
mod inputs;
mod load;
mod view;

pub use audit::AuditPages;
pub use error::ReportError;
pub use inputs::{
    AuditInput, ComparisonInput, EvaluationInput, RealismInput, ReportInputs, RunInput, SheetInput,
    StoreInput,
};
pub use load::PICTURE_BYTES;

use askama::Template as _;
use synthmr_core::files::Access;

/// Names under which the three main conditions are looked up among [`ReportInputs::evaluations`].
pub mod conditions {
    /// Trained on the cohort's own images.
    pub const REAL: &str = "real";
    /// Trained on synthetic images only.
    pub const SYNTHETIC: &str = "synthetic";
    /// Trained on real and synthetic images together.
    pub const BOTH: &str = "both";
}

/// Renders the report as one HTML document. The same inputs give the same text; nothing is read or written.
///
/// # Errors
/// When a record has a schema that this version does not know, a store is given in the other's place, a
/// picture is not what its record says, two evaluations have one name, an evaluation was made on another
/// division of the subjects than the store's, an audit is of other stores, or measurements of realism do not
/// belong to the stores, to the evaluations or to each other (see [`ReportError`]).
pub fn render(inputs: &ReportInputs) -> Result<String, ReportError> {
    check::inputs(inputs)?;
    Ok(view::Page::new(inputs)?.render()?)
}

/// Who may read the file that the report is written to: its owner only as soon as one of its pictures may
/// show patients, like the pictures themselves.
pub fn access(inputs: &ReportInputs) -> Access {
    match view::strictest(inputs) {
        Some(view::Mark::Unmarked | view::Mark::Copies | view::Mark::Inside) => Access::Private,
        None | Some(view::Mark::Synthetic | view::Mark::Audited) => Access::Shared,
    }
}

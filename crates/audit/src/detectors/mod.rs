//! Ways to compare a query with the real images. Each is a [`Detector`]; a new one is one more in the list that
//! [`crate::Searcher`] takes.

mod annotation;
mod candidates;
mod correlation;
mod learned;
mod margin;
mod plain;
mod similarity;

pub use annotation::Annotation;
pub(crate) use candidates::COARSE;
#[cfg(test)]
pub(crate) use candidates::standardised;
pub use correlation::Correlation;
pub use learned::Learned;
pub(crate) use margin::FEWEST_SUBJECTS;
pub use margin::{Found, Match, SubjectSimilarities};
pub use plain::nearest_plain;
pub(crate) use similarity::with_standard;

use crate::AuditError;
use crate::slices::Slices;

/// Similarities of queries to the real images. Every similarity is judged against that of other subjects (a margin), so
/// that images which resemble everybody are not taken for copies.
pub trait Detector {
    /// Names of the measures, in the order of what [`Self::search`] gives.
    fn measures(&self) -> Vec<&'static str>;

    /// What each measure compares, in a sentence.
    fn describe(&self, measure: usize) -> &'static str;

    /// For every measure, what it found for every query: the best match among training subjects and the best among
    /// held-out ones. `own` names the subject (a place in [`crate::slices::Reference::subjects`]) that a query belongs
    /// to, which is left out; what cannot compare such a query fairly finds nothing.
    ///
    /// # Errors
    /// [`AuditError`] when real images cannot be read.
    fn search(&self, queries: &Slices, own: &[Option<usize>]) -> Result<Vec<Vec<Found>>, AuditError>;
}

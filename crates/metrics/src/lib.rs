//! How well a predicted label map agrees with the truth, for each class and region of each subject, and what
//! that says about a set of subjects: label maps in, numbers with intervals out. `docs/metrics.md` gives
//! every definition and convention to the user.
//!
//! The crate never sees a file or a tensor. Label maps are `u8` class indices in `[depth, height, width]`
//! order, width fastest; spacings are millimetres in the same order; distances are millimetres.
//!
//! * [`evaluate_subject`] scores one subject, [`summarise`] a set of them.
//! * [`compare`] sets conditions beside a reference, subject by subject.
//! * [`membership`] says whether scores of images tell the subjects that a model learnt from.
//! * [`overlap`], [`surface`] and [`lesions`] are the metrics themselves.
//! * [`statistics`] holds bootstrap intervals, the Wilcoxon signed-rank test and Holm's correction.

mod bits;
mod compare;
mod evaluate;
pub mod lesions;
pub mod membership;
mod nearest;
pub mod overlap;
mod pair;
mod penalty;
pub mod realism;
pub mod statistics;
mod summarise;
pub mod surface;

pub use compare::{Condition, compare};
pub use evaluate::{EMPTY_RULE, NamedValues, evaluate_subject, evaluate_subject_with};
pub use pair::{ClassSet, LabelPair, MetricsError};
pub use penalty::{PENALTY_RULE, penalised};
pub use summarise::{METRIC_NAMES, Summaries, summarise};
pub use surface::Hd95Convention;

//! Training of generators, whatever their family: configuration, the loop, and what a family has to offer.

mod config;
mod division;
mod families;
mod grid;
mod inspection;
mod learner;
mod means;
mod schedule;
mod state;
mod trainer;

pub use config::{Family, FamilyKind, GeneratorConfig, PRESETS};
pub use families::{image_source, learner};
pub(crate) use grid::bytes;
pub use inspection::InspectionConfig;
pub(crate) use learner::{AVERAGE, BEST, keyed_normal};
pub use learner::{DrawOptions, ImageSource, Learner, Measured, is_finite};
pub use means::Means;
pub use schedule::{Position, Schedule};
pub(crate) use trainer::encoded;
pub use trainer::{GeneratorJob, train};

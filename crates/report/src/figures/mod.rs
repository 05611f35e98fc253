//! Figures as inline SVG. Code computes where everything stands; the templates write the elements, so that
//! texts from records are escaped like all others.

mod axis;
mod dots;
mod lines;
mod series;

pub(crate) use dots::{DotFigure, Estimate};
pub(crate) use lines::{LineFigure, STYLES};
pub(crate) use series::training_figures;

/// A coordinate as SVG text: tenths of a unit are finer than any screen shows.
fn coordinate(value: f64) -> String {
    format!("{value:.1}")
}

//! Dots with intervals: one row a class, region or mean, one dot a condition.

use synthmr_core::records::Interval;

use super::axis::Axis;
use super::coordinate;
use super::lines::Mark;
use crate::format;

const WIDTH: f64 = 520.0;
const LEFT: f64 = 96.0;
const RIGHT: f64 = 16.0;
const TOP: f64 = 8.0;
const BOTTOM: f64 = 42.0;
/// Height that one condition takes in a row, and the room between rows.
const STEP: f64 = 16.0;
const GAP: f64 = 14.0;

/// One value to draw, between 0 and 1.
#[derive(Clone, Debug)]
pub(crate) struct Estimate {
    /// Index of the row; a class and a region may have one name.
    pub(crate) row: usize,
    /// Index of the condition.
    pub(crate) condition: usize,
    pub(crate) mean: f64,
    pub(crate) range: Option<(f64, f64)>,
    pub(crate) text: String,
}

/// A drawn value.
#[derive(Clone, Debug)]
pub(crate) struct Dot {
    pub(crate) style: usize,
    pub(crate) x: String,
    pub(crate) y: String,
    /// Left and right end of the interval.
    pub(crate) range: Option<(String, String)>,
    pub(crate) text: String,
}

/// A band of the figure with its name.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) middle: String,
    pub(crate) top: String,
    pub(crate) height: String,
    pub(crate) shaded: bool,
}

/// The figure, ready for the template.
#[derive(Clone, Debug)]
pub(crate) struct DotFigure {
    pub(crate) title: String,
    pub(crate) conditions: Vec<(usize, String)>,
    pub(crate) height: f64,
    pub(crate) x_marks: Vec<Mark>,
    pub(crate) rows: Vec<Row>,
    pub(crate) dots: Vec<Dot>,
}

impl DotFigure {
    pub(crate) const WIDTH: f64 = WIDTH;
    pub(crate) const LEFT: f64 = LEFT;
    pub(crate) const TOP: f64 = TOP;
    pub(crate) const INNER_RIGHT: f64 = WIDTH - RIGHT;

    /// Draws the estimates in rows; conditions, each with its style, keep their order within a row.
    pub(crate) fn new(
        title: &str,
        rows: &[String],
        conditions: Vec<(usize, String)>,
        estimates: &[Estimate],
    ) -> Self {
        let axis = Axis::linear(0.0, 1.0, 5);
        let row_height = GAP + STEP * conditions.len().max(1) as f64;
        let x = |value: f64| coordinate(LEFT + axis.position(value) * (WIDTH - LEFT - RIGHT));
        let dots = estimates
            .iter()
            .filter(|estimate| estimate.mean.is_finite())
            .map(|estimate| {
                let row_top = TOP + estimate.row as f64 * row_height;
                Dot {
                    style: conditions.get(estimate.condition).map_or(0, |(style, _)| *style),
                    x: x(estimate.mean),
                    y: coordinate(row_top + GAP / 2.0 + STEP * (estimate.condition as f64 + 0.5)),
                    range: estimate.range.map(|(low, high)| (x(low), x(high))),
                    text: estimate.text.clone(),
                }
            })
            .collect();
        let bands = rows.iter().enumerate().map(|(index, name)| {
            let top = TOP + index as f64 * row_height;
            Row {
                name: shortened(name),
                middle: coordinate(top + row_height / 2.0),
                top: coordinate(top),
                height: coordinate(row_height),
                shaded: index % 2 == 0,
            }
        });
        Self {
            title: title.to_owned(),
            conditions,
            height: TOP + row_height * rows.len() as f64 + BOTTOM,
            x_marks: axis.ticks.iter().map(|t| Mark { at: x(t.value), label: t.label.clone() }).collect(),
            rows: bands.collect(),
            dots,
        }
    }

    /// Where the plotting area ends.
    pub(crate) fn inner_bottom(&self) -> f64 {
        self.height - BOTTOM
    }
}

/// Names longer than the margin would be cut by the edge.
fn shortened(name: &str) -> String {
    const LONGEST: usize = 13;
    if name.chars().count() <= LONGEST {
        name.to_owned()
    } else {
        name.chars().take(LONGEST - 1).chain(['\u{2026}']).collect()
    }
}

impl Estimate {
    /// An estimate from a mean with its interval; nothing when there is no mean. `what` is for the hover text.
    pub(crate) fn new(row: usize, condition: usize, what: &str, value: &Interval) -> Option<Self> {
        Some(Self {
            row,
            condition,
            mean: value.mean.filter(|mean| mean.is_finite())?,
            range: value.low.zip(value.high).filter(|(low, high)| low.is_finite() && high.is_finite()),
            text: format!("{what}: {}", format::interval(value, 3)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dot_lies_in_its_row_and_its_interval_around_it() {
        let rows = ["NCR".to_owned(), "ED".to_owned()];
        let conditions = vec![(0, "real".to_owned()), (1, "synthetic".to_owned())];
        let value = Interval { mean: Some(0.5), low: Some(0.4), high: Some(0.7), n: 3 };
        let estimate = Estimate::new(1, 1, "synthetic, ED", &value).unwrap();
        let figure = DotFigure::new("Dice", &rows, conditions, &[estimate]);
        let (y, top): (f64, f64) = (figure.dots[0].y.parse().unwrap(), figure.rows[1].top.parse().unwrap());
        assert!(y > top && y < figure.inner_bottom());
        let (low, high) = figure.dots[0].range.clone().unwrap();
        let numbers: Vec<f64> = [&low, &figure.dots[0].x, &high].iter().map(|t| t.parse().unwrap()).collect();
        assert!(numbers.is_sorted());
    }

    #[test]
    fn an_estimate_needs_a_finite_mean() {
        assert!(Estimate::new(0, 0, "real, ED", &Interval::default()).is_none());
        let nan = Interval { mean: Some(f64::NAN), ..Interval::default() };
        assert!(Estimate::new(0, 0, "real, ED", &nan).is_none());
    }
}

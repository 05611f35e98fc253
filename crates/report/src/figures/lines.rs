//! Curves over the images seen in training.

use super::axis::Axis;
use super::coordinate;
use super::series::{Plan, Point, Series};
use crate::format;

const WIDTH: f64 = 440.0;
const HEIGHT: f64 = 230.0;
const LEFT: f64 = 52.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 10.0;
const BOTTOM: f64 = 40.0;

/// Values that span more than this factor are easier to read on a logarithmic axis.
const LOGARITHMIC_FROM: f64 = 500.0;

/// Points of a curve that answer to the mouse.
const HOVER_POINTS: usize = 48;

/// Styles of curves that the style sheet knows.
pub(crate) const STYLES: usize = 8;

/// Where a tick stands, and its text.
#[derive(Clone, Debug)]
pub(crate) struct Mark {
    pub(crate) at: String,
    pub(crate) label: String,
}

/// A point with a hover text.
#[derive(Clone, Debug)]
pub(crate) struct Spot {
    pub(crate) x: String,
    pub(crate) y: String,
    pub(crate) text: String,
}

/// One curve of a figure.
#[derive(Clone, Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) style: usize,
    /// The SVG path; empty when no two finite points follow each other.
    pub(crate) path: String,
    /// The area between the lowest and the highest values; empty when every point is one tick.
    pub(crate) band: String,
    /// Points without a neighbour, which a path would not show.
    pub(crate) alone: Vec<Spot>,
    pub(crate) hover: Vec<Spot>,
    /// The last value, for the legend.
    pub(crate) last: String,
}

/// A figure of curves, ready for the template.
#[derive(Clone, Debug)]
pub(crate) struct LineFigure {
    pub(crate) title: String,
    /// The figure in a sentence, for those who do not see it.
    pub(crate) description: String,
    pub(crate) notes: Vec<String>,
    pub(crate) x_marks: Vec<Mark>,
    pub(crate) y_marks: Vec<Mark>,
    pub(crate) lines: Vec<Line>,
}

impl LineFigure {
    pub(crate) const WIDTH: f64 = WIDTH;
    pub(crate) const HEIGHT: f64 = HEIGHT;
    pub(crate) const LEFT: f64 = LEFT;
    pub(crate) const INNER_RIGHT: f64 = WIDTH - RIGHT;
    pub(crate) const INNER_BOTTOM: f64 = HEIGHT - BOTTOM;

    pub(super) fn new(plan: Plan) -> Self {
        let drawn = || plan.series.iter().flat_map(|s| &s.points).filter(|point| point.y.is_some());
        let lowest = drawn().map(|point| point.range.0).fold(f64::INFINITY, f64::min);
        let highest = drawn().map(|point| point.range.1).fold(f64::NEG_INFINITY, f64::max);
        let last_x = plan.series.iter().map(|series| series.last_x).fold(0.0, f64::max);
        let x_axis = Axis::linear_tight(0.0, last_x, 5);
        let y_axis = if lowest > highest {
            Axis::linear(plan.low.unwrap_or(0.0), plan.high.unwrap_or(1.0), 5)
        } else if plan.may_be_logarithmic && lowest > 0.0 && highest / lowest > LOGARITHMIC_FROM {
            Axis::logarithmic(lowest, highest)
        } else {
            let low = plan.low.map_or(lowest, |low| low.min(lowest));
            Axis::linear(low, plan.high.map_or(highest, |high| high.max(highest)), 5)
        };
        let mut notes = Vec::new();
        if y_axis.logarithmic {
            notes.push("Logarithmic scale.".to_owned());
        }
        let ticks_per_point = plan.series.iter().map(|series| series.ticks_per_point).max().unwrap_or(1);
        if ticks_per_point > 1 {
            notes.push(format!("Line: mean of about {ticks_per_point} ticks; band: lowest to highest."));
        }
        if plan.not_drawn > 0 {
            let noun = format::counted(plan.not_drawn, "value");
            notes.push(format!("{noun} not drawn: not a finite number, or too large."));
        }
        let names: Vec<&str> = plan.series.iter().map(|s| s.name.as_str()).collect();
        let description = format!(
            "{}: {} over {} seen",
            plan.title,
            names.join(", "),
            format::counted(last_x as u64, "image")
        );
        let place = Placement { x_axis: &x_axis, y_axis: &y_axis };
        let lines = plan.series.iter().enumerate().map(|(index, s)| place.line(s, index % STYLES)).collect();
        Self {
            title: plan.title,
            description,
            notes,
            x_marks: x_axis
                .ticks
                .iter()
                .map(|t| Mark { at: place.x(t.value), label: t.label.clone() })
                .collect(),
            y_marks: y_axis
                .ticks
                .iter()
                .map(|t| Mark { at: place.y(t.value), label: t.label.clone() })
                .collect(),
            lines,
        }
    }
}

struct Placement<'a> {
    x_axis: &'a Axis,
    y_axis: &'a Axis,
}

impl Placement<'_> {
    fn x(&self, value: f64) -> String {
        coordinate(LEFT + self.x_axis.position(value) * (WIDTH - LEFT - RIGHT))
    }

    fn y(&self, value: f64) -> String {
        coordinate(HEIGHT - BOTTOM - self.y_axis.position(value) * (HEIGHT - TOP - BOTTOM))
    }

    fn spot(&self, series: &Series, (x, y): (f64, f64)) -> Spot {
        let text =
            format!("{} {} at {}", series.name, format::measured(y), format::counted(x as u64, "image"));
        Spot { x: self.x(x), y: self.y(y), text }
    }

    fn line(&self, series: &Series, style: usize) -> Line {
        let mut path = String::new();
        let mut band = String::new();
        let mut alone = Vec::new();
        let finite = |point: &Point| Some((point.x, point.y?));
        for stretch in series.points.split(|point| point.y.is_none()) {
            match stretch {
                [] => {}
                [single] => alone.extend(finite(single).map(|point| self.spot(series, point))),
                _ => {
                    path.push_str(&self.path(stretch.iter().filter_map(finite)));
                    if series.ticks_per_point > 1 {
                        let upper = stretch.iter().map(|point| (point.x, point.range.1));
                        let lower = stretch.iter().rev().map(|point| (point.x, point.range.0));
                        band.push_str(&self.path(upper.chain(lower)));
                        band.push('Z');
                    }
                }
            }
        }
        let every = series.points.len().div_ceil(HOVER_POINTS).max(1);
        let hover = series.points.iter().rev().step_by(every).filter_map(finite);
        Line {
            name: series.name.clone(),
            style,
            path,
            band,
            alone,
            hover: hover.map(|point| self.spot(series, point)).collect(),
            last: series.last.map_or_else(|| format::NONE.to_owned(), format::measured),
        }
    }

    fn path(&self, points: impl Iterator<Item = (f64, f64)>) -> String {
        let mut path = String::new();
        for (index, (x, y)) in points.enumerate() {
            path.push(if index == 0 { 'M' } else { 'L' });
            path.push_str(&format!("{} {}", self.x(x), self.y(y)));
        }
        path
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figure(points: &[(f64, Option<f64>)], may_be_logarithmic: bool) -> LineFigure {
        let point =
            |&(x, y): &(f64, Option<f64>)| Point { x, y, range: (y.unwrap_or(0.0), y.unwrap_or(0.0)) };
        let last = points.iter().rev().find_map(|(_, y)| *y);
        let last_x = points.last().map_or(0.0, |point| point.0);
        let points = points.iter().map(point).collect();
        let series = vec![Series { name: "s".into(), points, ticks_per_point: 1, last, last_x }];
        LineFigure::new(Plan {
            title: "t".into(),
            series,
            low: None,
            high: None,
            may_be_logarithmic,
            not_drawn: 0,
        })
    }

    #[test]
    fn a_gap_breaks_the_line_and_single_points_are_dots() {
        let points = [(0.0, Some(1.0)), (1.0, Some(2.0)), (2.0, None), (3.0, Some(1.5)), (4.0, None)];
        let figure = figure(&points, false);
        let line = &figure.lines[0];
        assert_eq!(line.path.matches('M').count(), 1);
        assert_eq!(line.path.matches('L').count(), 1);
        assert_eq!(line.alone.len(), 1);
        assert_eq!(line.last, "1.5");
        assert!(line.band.is_empty());
    }

    #[test]
    fn nothing_finite_gives_an_empty_figure() {
        for points in [&[][..], &[(0.0, None), (5.0, None)]] {
            let figure = figure(points, true);
            assert!(figure.lines[0].path.is_empty());
            assert!(figure.y_marks.len() >= 2);
        }
    }

    #[test]
    fn wide_positive_ranges_become_logarithmic_where_that_makes_sense() {
        let wide = [(0.0, Some(0.001)), (1.0, Some(100.0))];
        assert_eq!(figure(&wide, true).notes, ["Logarithmic scale."]);
        assert!(figure(&wide, false).notes.is_empty());
        assert!(figure(&[(0.0, Some(0.0)), (1.0, Some(100.0))], true).notes.is_empty());
    }

    #[test]
    fn coordinates_stay_inside_the_figure() {
        let points: Vec<_> = (0..100).map(|i| (f64::from(i), Some(f64::from(i).sin() * 1e6))).collect();
        for spot in &figure(&points, false).lines[0].hover {
            let (x, y): (f64, f64) = (spot.x.parse().unwrap(), spot.y.parse().unwrap());
            assert!((LEFT..=WIDTH - RIGHT).contains(&x) && (TOP..=HEIGHT - BOTTOM).contains(&y));
        }
    }
}

//! Axes whose ticks people read at a glance: steps of 1, 2 or 5 times a power of ten, or decades.

use crate::format;

/// A tick of an axis.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct AxisTick {
    pub(super) value: f64,
    pub(super) label: String,
}

/// A scale from values to 0..1, with its ticks.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Axis {
    pub(super) low: f64,
    pub(super) high: f64,
    pub(super) logarithmic: bool,
    pub(super) ticks: Vec<AxisTick>,
}

/// Decades above which a logarithmic axis leaves out labels.
const DECADES: i32 = 5;

impl Axis {
    /// A linear axis over finite values, whose ends are ticks; about `target` steps.
    pub(super) fn linear(low: f64, high: f64, target: usize) -> Self {
        let (low, high) = widened(low, high);
        let step = nice_step((high - low) / target.max(1) as f64);
        let first = (low / step + 1e-9).floor();
        let last = (high / step - 1e-9).ceil();
        let largest = (first * step).abs().max((last * step).abs());
        let steps = (last - first) as usize;
        let ticks = (0..=steps)
            .map(|i| {
                let value = (first + i as f64) * step;
                AxisTick { value, label: format::tick(value, step, largest) }
            })
            .collect();
        Self { low: first * step, high: last * step, logarithmic: false, ticks }
    }

    /// A linear axis that ends where the values end, for the horizontal direction of a curve.
    pub(super) fn linear_tight(low: f64, high: f64, target: usize) -> Self {
        let (low, high) = widened(low, high);
        let mut axis = Self::linear(low, high, target);
        let slack = (high - low) * 1e-9;
        axis.ticks.retain(|tick| tick.value >= low - slack && tick.value <= high + slack);
        Self { low, high, ..axis }
    }

    /// A logarithmic axis over positive values, whose ends are powers of ten.
    pub(super) fn logarithmic(low: f64, high: f64) -> Self {
        let first = (low.log10() + 1e-9).floor() as i32;
        let last = ((high.log10() - 1e-9).ceil() as i32).max(first + 1);
        let every = ((last - first + DECADES - 1) / DECADES).max(1);
        let ticks = (first..=last)
            .step_by(every as usize)
            .map(|decade| {
                let value = 10f64.powi(decade);
                AxisTick { value, label: format::log_tick(value) }
            })
            .collect();
        Self { low: 10f64.powi(first), high: 10f64.powi(last), logarithmic: true, ticks }
    }

    /// Where a value stands, 0 at the low end and 1 at the high end.
    pub(super) fn position(&self, value: f64) -> f64 {
        let position = if self.logarithmic {
            (value / self.low).log10() / (self.high / self.low).log10()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        position.clamp(0.0, 1.0)
    }
}

/// A range that can be divided: a single value gets room on both sides.
fn widened(low: f64, high: f64) -> (f64, f64) {
    let size = low.abs().max(high.abs());
    if high - low > size * 1e-9 {
        (low, high)
    } else if size == 0.0 {
        (0.0, 1.0)
    } else {
        (low - size / 2.0, high + size / 2.0)
    }
}

/// The smallest of 1, 2, 5 times a power of ten that is not below `raw`.
fn nice_step(raw: f64) -> f64 {
    let power = 10f64.powf(raw.log10().floor());
    let factor = [1.0, 2.0, 5.0].into_iter().find(|factor| factor * power >= raw * (1.0 - 1e-9));
    factor.unwrap_or(10.0) * power
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(axis: &Axis) -> Vec<&str> {
        axis.ticks.iter().map(|tick| tick.label.as_str()).collect()
    }

    #[test]
    fn steps_are_one_two_or_five() {
        for (raw, expected) in
            [(0.1, 0.1), (0.11, 0.2), (0.3, 0.5), (0.6, 1.0), (7.0, 10.0), (1200.0, 2000.0)]
        {
            let step = nice_step(raw);
            assert!((step - expected).abs() < 1e-9 * expected, "{raw}: {step}");
        }
    }

    #[test]
    fn linear_axes_end_on_ticks() {
        assert_eq!(labels(&Axis::linear(0.0, 1.0, 5)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::linear(0.13, 0.87, 4)), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels(&Axis::linear(-1.2, 2.9, 5)), ["-2", "-1", "0", "1", "2", "3"]);
        assert_eq!(labels(&Axis::linear(0.0, 25_000_000.0, 5)), ["0", "5M", "10M", "15M", "20M", "25M"]);
        assert_eq!(labels(&Axis::linear(0.0, 14_000.0, 5)), ["0", "5k", "10k", "15k"]);
    }

    #[test]
    fn tight_axes_end_where_the_values_end() {
        let axis = Axis::linear_tight(0.0, 4.3e4, 4);
        assert_eq!(labels(&axis), ["0", "20k", "40k"]);
        assert_eq!(axis.position(4.3e4), 1.0);
    }

    #[test]
    fn one_value_and_extreme_values_still_make_an_axis() {
        for (low, high) in
            [(0.0, 0.0), (3.0, 3.0), (-2.0, -2.0), (1.0, 1.0 + 1e-16), (-1e15, 1e15), (0.0, 1e-9)]
        {
            let axis = Axis::linear(low, high, 5);
            assert!((2..=12).contains(&axis.ticks.len()), "{low}..{high}: {:?}", axis.ticks);
            assert!(axis.low <= low && axis.high >= high, "{low}..{high}: {axis:?}");
        }
    }

    #[test]
    fn logarithmic_axes_have_decades() {
        let axis = Axis::logarithmic(0.02, 350.0);
        assert_eq!(labels(&axis), ["0.01", "0.1", "1", "10", "100", "1000"]);
        assert!((axis.position(1.0) - 0.4).abs() < 1e-12);
        assert_eq!(labels(&Axis::logarithmic(1.0, 1.0)), ["1", "10"]);
        assert!(Axis::logarithmic(1e-12, 1e12).ticks.len() <= 7);
    }
}

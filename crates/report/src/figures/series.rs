//! From the ticks of a run to figures: which values belong into one figure, and how many points are enough.

use std::collections::{BTreeMap, BTreeSet};

use synthmr_core::records::Tick;

use super::LineFigure;

/// Columns that a long curve is reduced to: more would paint noise as a solid band.
const COLUMNS: usize = 160;

/// Ticks up to which a curve is drawn as it is.
const DRAWN_AS_IT_IS: usize = 400;

/// Figures for values that belong to no known group; more would bury the others.
const OTHER_FIGURES: usize = 8;

/// Largest magnitude that is drawn: a loss beyond it has diverged and would flatten everything else.
const LARGEST: f64 = 1e15;

/// What a group of values is drawn like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Dice,
    Loss,
    Penalty,
    Augmentation,
    Throughput,
    LearningRate,
    Gradient,
    Other,
}

impl Group {
    /// Sorts a value by its name: trainers name values freely, their words are few.
    fn of(name: &str) -> Self {
        let name = name.to_lowercase();
        let has_word = |words: &[&str]| {
            name.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| words.contains(&word))
        };
        if has_word(&["r1", "path", "pl", "penalty", "gp", "drift"]) {
            Self::Penalty
        } else if name.contains("loss") {
            Self::Loss
        } else if name.contains("dice") {
            Self::Dice
        } else if name.contains("per_second")
            || name.contains("per_s")
            || name.contains("images/s")
            || has_word(&["throughput", "ips"])
        {
            Self::Throughput
        } else if has_word(&["ada", "augment", "augmentation"]) {
            Self::Augmentation
        } else if has_word(&["lr", "rate"]) || name.contains("learning_rate") {
            Self::LearningRate
        } else if name.contains("grad") {
            Self::Gradient
        } else {
            Self::Other
        }
    }

    fn title(self) -> &'static str {
        match self {
            Self::Dice => "Validation Dice",
            Self::Loss => "Losses",
            Self::Penalty => "Penalties",
            Self::Augmentation => "Augmentation strength (ADA)",
            Self::Throughput => "Images per second",
            Self::LearningRate => "Learning rate",
            Self::Gradient => "Gradient norm",
            Self::Other => "Other values",
        }
    }

    /// Values between 0 and 1 are shown on all of that range, and rates from zero up.
    fn range(self) -> (Option<f64>, Option<f64>) {
        match self {
            Self::Dice => (Some(0.0), Some(1.0)),
            Self::Throughput | Self::Augmentation => (Some(0.0), None),
            _ => (None, None),
        }
    }

    fn may_be_logarithmic(self) -> bool {
        matches!(self, Self::Loss | Self::Penalty | Self::Gradient)
    }
}

/// A point of a curve: one tick, or the ticks of one column.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Images seen.
    pub(super) x: f64,
    /// The value, or the mean of several; `None` where none was finite.
    pub(super) y: Option<f64>,
    /// The lowest and the highest value, which are equal for one tick.
    pub(super) range: (f64, f64),
}

/// One curve: points in the order of images seen.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<Point>,
    /// How many ticks a point stands for.
    pub(super) ticks_per_point: usize,
    /// The last finite value.
    pub(super) last: Option<f64>,
    /// Images seen at the last tick.
    pub(super) last_x: f64,
}

/// What a figure is drawn from.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) title: String,
    pub(super) series: Vec<Series>,
    pub(super) low: Option<f64>,
    pub(super) high: Option<f64>,
    pub(super) may_be_logarithmic: bool,
    /// Values that were not finite, or too large to draw.
    pub(super) not_drawn: usize,
}

/// The figures of a run, and the names of values that are not drawn because there are too many.
pub(crate) fn training_figures(ticks: &[Tick]) -> (Vec<LineFigure>, Vec<String>) {
    let names: BTreeSet<&str> =
        ticks.iter().flat_map(|tick| tick.values.keys().map(String::as_str)).collect();
    let mut groups: BTreeMap<Group, Vec<&str>> = BTreeMap::new();
    for name in names {
        groups.entry(Group::of(name)).or_default().push(name);
    }
    let others = groups.remove(&Group::Other).unwrap_or_default();
    let (drawn, left_out) = others.split_at(others.len().min(OTHER_FIGURES));
    let grouped = groups.iter().map(|(group, names)| plan(group.title(), *group, names, ticks));
    // Values of unknown kind have unknown units: one figure each.
    let single = drawn.iter().map(|name| plan(name, Group::Other, &[*name], ticks));
    let figures = grouped.chain(single).map(LineFigure::new).collect();
    (figures, left_out.iter().map(|name| (*name).to_owned()).collect())
}

fn plan(title: &str, group: Group, names: &[&str], ticks: &[Tick]) -> Plan {
    let (low, high) = group.range();
    let mut not_drawn = 0;
    let series = names
        .iter()
        .map(|name| {
            let mut points: Vec<Point> = ticks
                .iter()
                .filter_map(|tick| Some(point(tick.images_seen as f64, *tick.values.get(*name)?)))
                .collect();
            // A resumed run may have appended ticks that an older copy of the log already had.
            points.sort_by(|a, b| a.x.total_cmp(&b.x));
            not_drawn += points.iter().filter(|point| point.y.is_none()).count();
            let last = points.iter().rev().find_map(|point| point.y);
            let last_x = points.last().map_or(0.0, |point| point.x);
            let (reduced, all) = (reduce(&points), points.len());
            let ticks_per_point = all.div_ceil(reduced.len().max(1));
            Series { name: (*name).to_owned(), points: reduced, ticks_per_point, last, last_x }
        })
        .collect();
    let may_be_logarithmic = group.may_be_logarithmic();
    Plan { title: title.to_owned(), series, low, high, may_be_logarithmic, not_drawn }
}

fn point(x: f64, y: f64) -> Point {
    Point { x, y: (y.abs() <= LARGEST).then_some(y), range: (y, y) }
}

/// Reduces a long curve to the mean of each column, with the lowest and the highest value, so that spikes
/// stay. A column without any finite value stays as a gap.
fn reduce(points: &[Point]) -> Vec<Point> {
    if points.len() <= DRAWN_AS_IT_IS {
        return points.to_vec();
    }
    let (first, last) = (points[0].x, points[points.len() - 1].x);
    let column = |point: &Point| {
        let position = (point.x - first) / (last - first).max(f64::MIN_POSITIVE);
        ((position * COLUMNS as f64) as usize).min(COLUMNS - 1)
    };
    let groups = points.chunk_by(|a, b| column(a) == column(b));
    groups
        .map(|group| {
            let finite: Vec<f64> = group.iter().filter_map(|point| point.y).collect();
            let mean = finite.iter().sum::<f64>() / finite.len() as f64;
            let low = finite.iter().copied().fold(f64::INFINITY, f64::min);
            let high = finite.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let x = (group[0].x + group[group.len() - 1].x) / 2.0;
            Point { x, y: (!finite.is_empty()).then_some(mean), range: (low, high) }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted_by_the_words_in_their_names() {
        let cases = [
            ("loss_generator", Group::Loss),
            ("loss/r1", Group::Penalty),
            ("r1_penalty", Group::Penalty),
            ("path_length_penalty", Group::Penalty),
            ("loss/dice", Group::Loss),
            ("val/dice/NCR", Group::Dice),
            ("dice.mean", Group::Dice),
            ("images_per_s", Group::Throughput),
            ("images_per_second", Group::Throughput),
            ("ada/p", Group::Augmentation),
            ("augment_strength", Group::Augmentation),
            ("lr", Group::LearningRate),
            ("gradient_norm", Group::Gradient),
            ("memory_mib", Group::Other),
        ];
        for (name, group) in cases {
            assert_eq!(Group::of(name), group, "{name}");
        }
    }

    #[test]
    fn thousands_of_ticks_are_reduced_and_spikes_stay() {
        let mut points: Vec<Point> = (0..50_000).map(|i| point(f64::from(i), 1.0)).collect();
        points[31_417] = point(31_417.0, 9.0);
        points[40_000] = point(40_000.0, f64::NAN);
        let reduced = reduce(&points);
        assert_eq!(reduced.len(), COLUMNS);
        assert_eq!(reduced.iter().filter(|point| point.range.1 == 9.0).count(), 1);
        assert!(reduced.iter().all(|point| point.y.is_some_and(|y| (1.0..1.1).contains(&y))));
        assert!(reduced.is_sorted_by(|a, b| a.x < b.x));
    }

    #[test]
    fn a_long_gap_stays_a_gap() {
        let value = |i| if i < 5000 { 1.0 } else { f64::INFINITY };
        let points: Vec<Point> = (0..10_000).map(|i| point(f64::from(i), value(i))).collect();
        assert_eq!(reduce(&points).iter().filter(|point| point.y.is_none()).count(), COLUMNS / 2);
    }

    #[test]
    fn values_without_a_group_are_drawn_up_to_a_number() {
        let values = (0..12).map(|i| (format!("x{i:02}"), f64::from(i))).collect();
        let (figures, left_out) = training_figures(&[Tick { images_seen: 1, values }]);
        assert_eq!(figures.len(), OTHER_FIGURES);
        assert_eq!(left_out, ["x08", "x09", "x10", "x11"]);
    }
}

//! From the ticks of a run to figures: which values belong into one figure, and how many points are enough.

use std::collections::{BTreeMap, BTreeSet};

use synthmr_core::records::Tick;

use super::LineFigure;

/// Columns that a curve is reduced to; a figure is about this many pixels wide.
const COLUMNS: usize = 320;

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
        } else if has_word(&["lr"]) || name.contains("learning_rate") {
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
        matches!(self, Self::Loss | Self::Penalty | Self::LearningRate | Self::Gradient)
    }
}

/// One curve: points in the order of images seen, `None` where a value was not finite.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Series {
    pub(super) name: String,
    pub(super) points: Vec<(f64, Option<f64>)>,
    /// The last finite value.
    pub(super) last: Option<f64>,
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
            let mut points: Vec<(f64, Option<f64>)> = ticks
                .iter()
                .filter_map(|tick| Some((tick.images_seen as f64, *tick.values.get(*name)?)))
                .map(|(x, y)| (x, (y.abs() <= LARGEST).then_some(y)))
                .collect();
            // A resumed run may have appended ticks that an older copy of the log already had.
            points.sort_by(|a, b| a.0.total_cmp(&b.0));
            not_drawn += points.iter().filter(|(_, y)| y.is_none()).count();
            let last = points.iter().rev().find_map(|(_, y)| *y);
            Series { name: (*name).to_owned(), points: decimate(&points, COLUMNS), last }
        })
        .collect();
    let may_be_logarithmic = group.may_be_logarithmic();
    Plan { title: title.to_owned(), series, low, high, may_be_logarithmic, not_drawn }
}

/// Keeps of each column the first, lowest, highest and last value, so that spikes stay; a column without
/// any finite value stays as a gap.
fn decimate(points: &[(f64, Option<f64>)], columns: usize) -> Vec<(f64, Option<f64>)> {
    if points.len() <= 2 * columns {
        return points.to_vec();
    }
    let (first, last) = (points[0].0, points[points.len() - 1].0);
    let column = |x: f64| {
        let position = (x - first) / (last - first).max(f64::MIN_POSITIVE);
        ((position * columns as f64) as usize).min(columns - 1)
    };
    let mut kept = Vec::new();
    for group in points.chunk_by(|a, b| column(a.0) == column(b.0)) {
        let finite: Vec<(usize, f64)> =
            group.iter().enumerate().filter_map(|(index, (_, y))| Some((index, (*y)?))).collect();
        let lowest = finite.iter().min_by(|a, b| a.1.total_cmp(&b.1));
        let highest = finite.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        let mut chosen: Vec<usize> = [finite.first(), lowest, highest, finite.last()]
            .into_iter()
            .flatten()
            .map(|(index, _)| *index)
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        if chosen.is_empty() {
            chosen.push(0);
        }
        kept.extend(chosen.into_iter().map(|index| group[index]));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_sorted_by_the_words_in_their_names() {
        let cases = [
            ("loss/generator", Group::Loss),
            ("loss_r1", Group::Penalty),
            ("r1", Group::Penalty),
            ("loss/path", Group::Penalty),
            ("loss/dice", Group::Loss),
            ("val/dice/NCR", Group::Dice),
            ("dice.mean", Group::Dice),
            ("images_per_s", Group::Throughput),
            ("rate/images_per_second", Group::Throughput),
            ("ada/p", Group::Augmentation),
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
        let mut points: Vec<(f64, Option<f64>)> = (0..50_000).map(|i| (f64::from(i), Some(1.0))).collect();
        points[31_417].1 = Some(9.0);
        points[40_000].1 = None;
        let kept = decimate(&points, COLUMNS);
        assert!(kept.len() <= 4 * COLUMNS, "{}", kept.len());
        assert!(kept.contains(&(31_417.0, Some(9.0))));
        assert_eq!(kept.first(), points.first());
        assert_eq!(kept.last(), points.last());
        assert!(kept.is_sorted_by(|a, b| a.0 <= b.0));
    }

    #[test]
    fn a_long_gap_stays_a_gap() {
        let points: Vec<(f64, Option<f64>)> =
            (0..10_000).map(|i| (f64::from(i), (i < 5000).then_some(1.0))).collect();
        let kept = decimate(&points, 100);
        assert!(kept.iter().any(|(x, y)| *x > 5000.0 && y.is_none()));
    }

    #[test]
    fn values_without_a_group_are_drawn_up_to_a_number() {
        let values = (0..12).map(|i| (format!("x{i:02}"), f64::from(i))).collect();
        let (figures, left_out) = training_figures(&[Tick { images_seen: 1, values }]);
        assert_eq!(figures.len(), OTHER_FIGURES);
        assert_eq!(left_out, ["x08", "x09", "x10", "x11"]);
    }
}

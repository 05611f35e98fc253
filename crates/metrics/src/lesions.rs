//! Lesions one by one: how many were found, how many were invented, and how well each agrees.
//!
//! A lesion is a connected component of a mask; voxels that share a corner are connected (26 neighbours). Lesions of truth
//! and prediction are matched one to one so that the sum of the matched pairs' Dice is the largest possible. Missed and
//! invented lesions count as 0: lesion-wise Dice is that sum over all lesions, matched or not.
//!
//! Sources: Moawad et al., "The Brain Tumor Segmentation - Metastases Challenge 2023" (arXiv 2306.00838), for the penalty of
//! missed and invented lesions; Kofler et al., "Panoptica" (arXiv 2312.02608), for the one-to-one matching, which the
//! package `brats-evaluation` uses.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use crate::bits::BitMask;
use crate::overlap::Bounds;
use crate::pair::{ClassSet, LabelPair};

/// The lesions of one mask in truth and prediction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lesions {
    /// Lesions in the truth.
    pub truth: u64,
    /// Lesions in the prediction.
    pub prediction: u64,
    /// Pairs of lesions that overlap and were matched.
    pub matched: u64,
    /// Sum of the matched pairs' Dice.
    pub dice_sum: f64,
}

impl Lesions {
    /// The lesions of the mask that `set` forms inside `bounds`, which must hold it in truth and prediction.
    pub(crate) fn between(pair: &LabelPair<'_>, bounds: &Bounds, set: ClassSet) -> Self {
        let components = |labels| Components::of(&BitMask::from_labels(labels, pair.shape, bounds, set));
        let (truth, prediction) = rayon::join(|| components(pair.truth), || components(pair.prediction));
        let mut edges = vec![Vec::new(); truth.sizes.len()];
        for ((t, p), both) in truth.overlaps(&prediction) {
            let dice = 2.0 * both as f64 / (truth.sizes[t] + prediction.sizes[p]) as f64;
            edges[t].push((p, dice));
        }
        let matching = best_matching(&edges, prediction.sizes.len());
        Self {
            truth: truth.sizes.len() as u64,
            prediction: prediction.sizes.len() as u64,
            matched: matching.len() as u64,
            // The sum of no numbers would be minus zero.
            dice_sum: matching.iter().fold(0.0, |sum, dice| sum + dice),
        }
    }

    /// The mean Dice over all lesions, matched or not, 0 to 1; `None` when there are none.
    pub fn dice(&self) -> Option<f64> {
        let lesions = self.truth + self.prediction - self.matched;
        (lesions > 0).then(|| self.dice_sum / lesions as f64)
    }
}

/// Set voxels that follow each other in a row: from `low` to before `high`.
#[derive(Clone, Copy)]
struct Run {
    low: usize,
    high: usize,
    component: usize,
}

/// The connected components of a mask, as runs.
struct Components {
    /// The runs of every row of the mask, in raster order.
    rows: Vec<Vec<Run>>,
    /// Voxels of each component.
    sizes: Vec<u64>,
}

impl Components {
    fn of(mask: &BitMask) -> Self {
        let [depth, height, _] = mask.shape();
        let mut rows: Vec<Vec<Run>> = Vec::with_capacity(depth * height);
        // Runs begin as components of their own; `parents` says which were joined.
        let mut parents: Vec<usize> = Vec::new();
        for z in 0..depth {
            for y in 0..height {
                let mut row = runs(mask.row(z, y));
                for run in &mut row {
                    run.component = parents.len();
                    parents.push(run.component);
                }
                let before = [(0, 1), (1, 0), (1, 1)]
                    .map(|(up, back)| Some((z.checked_sub(up)?, y.checked_sub(back)?)));
                let after = z.checked_sub(1).filter(|_| y + 1 < height).map(|z| (z, y + 1));
                for (z, y) in before.into_iter().chain([after]).flatten() {
                    // Runs that end where another begins share a corner.
                    meeting(&rows[z * height + y], &row, 1, |a, b, _| {
                        join(&mut parents, a.component, b.component)
                    });
                }
                rows.push(row);
            }
        }
        let mut numbers = BTreeMap::new();
        let mut sizes = Vec::new();
        for run in rows.iter_mut().flatten() {
            run.component = *numbers.entry(root(&mut parents, run.component)).or_insert_with(|| {
                sizes.push(0);
                sizes.len() - 1
            });
            sizes[run.component] += (run.high - run.low) as u64;
        }
        Self { rows, sizes }
    }

    /// Voxels that a component of each mask shares, for those pairs that share any.
    fn overlaps(&self, other: &Self) -> BTreeMap<(usize, usize), u64> {
        let mut shared = BTreeMap::new();
        for (mine, theirs) in self.rows.iter().zip(&other.rows) {
            meeting(mine, theirs, 0, |a, b, voxels| {
                *shared.entry((a.component, b.component)).or_insert(0) += voxels;
            });
        }
        shared
    }
}

/// The runs of set bits of a row.
fn runs(row: &[u64]) -> Vec<Run> {
    let mut found: Vec<Run> = Vec::new();
    for (i, &word) in row.iter().enumerate() {
        let mut rest = word;
        while rest != 0 {
            let first = rest.trailing_zeros();
            let length = (rest >> first).trailing_ones();
            let (low, high) = (i * 64 + first as usize, i * 64 + (first + length) as usize);
            match found.last_mut() {
                Some(last) if last.high == low => last.high = high,
                _ => found.push(Run { low, high, component: 0 }),
            }
            rest = if first + length == 64 { 0 } else { rest >> (first + length) << (first + length) };
        }
    }
    found
}

/// Calls `each` with every pair of runs of two rows that overlap or are at most `gap` diagonal steps apart, and with the
/// number of voxels that they share.
fn meeting(first: &[Run], second: &[Run], gap: usize, mut each: impl FnMut(&Run, &Run, u64)) {
    let (mut i, mut j) = (0, 0);
    while let (Some(a), Some(b)) = (first.get(i), second.get(j)) {
        if a.low < b.high + gap && b.low < a.high + gap {
            each(a, b, a.high.min(b.high).saturating_sub(a.low.max(b.low)) as u64);
        }
        if a.high <= b.high { i += 1 } else { j += 1 }
    }
}

fn root(parents: &mut [usize], mut of: usize) -> usize {
    while parents[of] != of {
        parents[of] = parents[parents[of]];
        of = parents[of];
    }
    of
}

fn join(parents: &mut [usize], a: usize, b: usize) {
    let (a, b) = (root(parents, a), root(parents, b));
    // The smaller number stays, so that components are numbered by their first voxel.
    parents[a.max(b)] = a.min(b);
}

/// A place in the search for the cheapest way to match one more row.
#[derive(Clone, Copy, PartialEq)]
struct Step {
    cost: f64,
    /// The row whose edge was followed.
    row: usize,
    /// The column reached, or none where the row stays without one.
    column: Option<usize>,
}

impl Eq for Step {}

impl PartialOrd for Step {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Step {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.cost.total_cmp(&other.cost).then_with(|| (self.row, self.column).cmp(&(other.row, other.column)))
    }
}

/// Weights of the pairs of the matching with the largest sum; `edges` has for each row its columns with weights above 0
/// and up to 1. Rows are added one by one along the cheapest path (Jonker and Volgenant 1987), on the edges alone, so that
/// thousands of specks cost no square of their number. The cost of an edge is 1 - weight, that of no partner 1.
fn best_matching(edges: &[Vec<(usize, f64)>], columns: usize) -> Vec<f64> {
    let mut row_price = vec![0.0; edges.len()];
    let mut column_price = vec![0.0; columns];
    let mut partner_of_column: Vec<Option<usize>> = vec![None; columns];
    let mut partner_of_row: Vec<Option<usize>> = vec![None; edges.len()];
    for start in 0..edges.len() {
        // The rows and columns whose cheapest cost is known; a column with the row that it was reached from.
        let mut rows = vec![(start, 0.0)];
        let mut reached: BTreeMap<usize, (usize, f64)> = BTreeMap::new();
        let mut heap = BinaryHeap::new();
        let mut end = None;
        while end.is_none() {
            let (row, cost) = rows[rows.len() - 1];
            let base = cost + 1.0 - row_price[row];
            heap.push(Reverse(Step { cost: base, row, column: None }));
            heap.extend(edges[row].iter().map(|&(column, weight)| {
                Reverse(Step { cost: base - weight - column_price[column], row, column: Some(column) })
            }));
            // A row can always stay without a partner, so there is a way on until the end is found.
            while let Some(Reverse(step)) = heap.pop() {
                let Some(column) = step.column else {
                    end = Some(step);
                    break;
                };
                if reached.contains_key(&column) {
                    continue;
                }
                reached.insert(column, (step.row, step.cost));
                match partner_of_column[column] {
                    Some(row) => rows.push((row, step.cost)),
                    None => end = Some(step),
                }
                break;
            }
        }
        let Some(end) = end else { continue };
        for &(row, cost) in &rows {
            row_price[row] += end.cost - cost;
        }
        for (&column, &(_, cost)) in &reached {
            column_price[column] -= end.cost - cost;
        }
        // Backwards along the path everyone takes the partner that led to it.
        let (mut row, mut column) = (end.row, end.column);
        loop {
            let given_up = std::mem::replace(&mut partner_of_row[row], column);
            if let Some(column) = column {
                partner_of_column[column] = Some(row);
            }
            let Some(next) = given_up.filter(|_| row != start) else { break };
            (row, column) = (reached[&next].0, Some(next));
        }
    }
    let weight =
        |(row, column): (usize, usize)| edges[row].iter().find(|(c, _)| *c == column).map(|(_, w)| *w);
    partner_of_row.iter().enumerate().filter_map(|(row, column)| weight((row, (*column)?))).collect()
}

#[cfg(test)]
mod tests {
    use synthmr_core::random::{Draw, Rng, Stream, rng};

    use super::*;

    fn random_edges(random: &mut Rng, rows: u64, columns: u64) -> Vec<Vec<(usize, f64)>> {
        let weight = |random: &mut Rng| (1 + random.below(8)) as f64 / 8.0;
        let row = |random: &mut Rng| {
            let kept = (0..columns as usize).filter(|_| random.chance(0.5)).collect::<Vec<_>>();
            kept.into_iter().map(|column| (column, weight(random))).collect()
        };
        (0..rows).map(|_| row(random)).collect()
    }

    /// The largest sum over all matchings, one by one.
    fn exhaustive(edges: &[Vec<(usize, f64)>], taken: u32) -> f64 {
        let Some((first, rest)) = edges.split_first() else { return 0.0 };
        let free = first.iter().filter(|(column, _)| taken >> column & 1 == 0);
        free.map(|&(column, weight)| weight + exhaustive(rest, taken | 1 << column))
            .fold(exhaustive(rest, taken), f64::max)
    }

    #[test]
    fn the_matching_is_the_best_of_all() {
        let mut random = rng(5, Stream::Test, 0);
        for _ in 0..2000 {
            let (rows, columns) = (random.below(7), random.below(7));
            let edges = random_edges(&mut random, rows, columns);
            let found: f64 = best_matching(&edges, columns as usize).iter().sum();
            assert!((found - exhaustive(&edges, 0)).abs() < 1e-12, "{edges:?}: {found}");
        }
    }

    /// Components by flooding from voxel to voxel.
    fn flooded(labels: &[u8], shape: [usize; 3]) -> Vec<u64> {
        let mut left: Vec<bool> = labels.iter().map(|&label| label == 1).collect();
        let mut sizes = Vec::new();
        for first in 0..left.len() {
            let mut front = Vec::from_iter(std::mem::take(&mut left[first]).then_some(first));
            let mut size = 0;
            while let Some(at) = front.pop() {
                size += 1;
                let place = [at / (shape[1] * shape[2]), at / shape[2] % shape[1], at % shape[2]];
                for neighbour in 0..27 {
                    let step = [neighbour / 9, neighbour / 3 % 3, neighbour % 3];
                    let [z, y, x] = std::array::from_fn(|a| (place[a] + step[a]).wrapping_sub(1));
                    if z < shape[0] && y < shape[1] && x < shape[2] {
                        let index = (z * shape[1] + y) * shape[2] + x;
                        if std::mem::take(&mut left[index]) {
                            front.push(index);
                        }
                    }
                }
            }
            sizes.extend((size > 0).then_some(size));
        }
        sizes
    }

    #[test]
    fn components_equal_those_of_flooding() {
        let mut random = rng(6, Stream::Test, 0);
        for shape in [[1, 1, 130], [1, 9, 66], [4, 5, 64], [6, 7, 70], [9, 1, 8]] {
            for density in [0.03, 0.1, 0.3, 0.7] {
                let labels: Vec<u8> =
                    (0..shape.iter().product()).map(|_| u8::from(random.chance(density))).collect();
                let whole = Bounds { low: [0; 3], high: shape };
                let mask = BitMask::from_labels(&labels, shape, &whole, ClassSet::new(&[1]));
                assert_eq!(Components::of(&mask).sizes, flooded(&labels, shape), "{shape:?} {density}");
            }
        }
    }

    #[test]
    fn missed_and_invented_lesions_count_as_nothing() {
        // Truth: lesions of 2, 1 and 1 voxels; prediction: half of the first, another elsewhere.
        let (truth, prediction) = ([1, 1, 0, 1, 0, 1, 0, 0, 0], [1, 0, 0, 0, 0, 0, 0, 1, 1]);
        let scheme = synthmr_core::LabelScheme::brats();
        let pair = LabelPair::new(&truth, &prediction, [1, 1, 9], [1.0; 3], &scheme).unwrap();
        let whole = Bounds { low: [0; 3], high: [1, 1, 9] };
        let found = Lesions::between(&pair, &whole, ClassSet::new(&[1]));
        assert_eq!((found.truth, found.prediction, found.matched), (3, 2, 1));
        assert_eq!(found.dice(), Some(2.0 / 3.0 / 4.0));
        assert_eq!(Lesions::default().dice(), None);
        let apart = LabelPair::new(&[1, 0, 0], &[0, 0, 1], [1, 1, 3], [1.0; 3], &scheme).unwrap();
        let whole = Bounds { low: [0; 3], high: [1, 1, 3] };
        let none = Lesions::between(&apart, &whole, ClassSet::new(&[1])).dice().unwrap();
        assert!(none == 0.0 && none.is_sign_positive());
    }
}

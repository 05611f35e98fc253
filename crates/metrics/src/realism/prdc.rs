//! Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).
//!
//! The manifold of a set is the union of balls around its images, each up to its k-th nearest other image of the set.
//!
//! * precision: share of synthetic images inside the real manifold. Low: some look like nothing real.
//! * recall: share of real images inside the synthetic manifold. Low: some of what is real is never made.
//! * density: how many real balls hold a synthetic image, on average, over k. Outliers among the real images raise
//!   precision, this less. It can exceed 1.
//! * coverage: share of real balls that hold a synthetic image. Low: as recall, and less moved by outliers.
//!
//! Balls are open: an image at the radius is outside, as in the authors' program. An image that is in a set twice has
//! neighbours at no distance, so resamples with repeated images are of no use to these metrics.

use std::ops::ControlFlow;

use super::tiles::{Tile, for_each_tile};
use super::{FeatureError, Features, Watch};

/// Name of the metrics in errors.
const NAME: &str = "precision and recall";

/// The k that both papers settled on, and what is usual.
pub const NEAREST: usize = 5;

/// The four shares; density may exceed 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Prdc {
    /// Share of synthetic images inside the real manifold.
    pub precision: f64,
    /// Share of real images inside the synthetic manifold.
    pub recall: f64,
    /// Mean number of real balls around a synthetic image, over k.
    pub density: f64,
    /// Share of real balls that hold a synthetic image.
    pub coverage: f64,
}

/// All four with balls up to the `nearest`-th neighbour.
///
/// # Errors
/// [`FeatureError::Dims`]; [`FeatureError::TooFew`] when a set has no `nearest` other images; [`FeatureError::Stopped`].
pub fn prdc(
    real: Features<'_>,
    synthetic: Features<'_>,
    nearest: usize,
    watch: Watch<'_>,
) -> Result<Prdc, FeatureError> {
    real.check_beside(&synthetic)?;
    for features in [real, synthetic] {
        if features.rows() <= nearest {
            let (needed, found) = (nearest + 1, features.rows());
            return Err(FeatureError::TooFew { metric: NAME, needed, found });
        }
    }
    watched(real, synthetic, nearest, watch).continue_value().ok_or(FeatureError::Stopped { metric: NAME })
}

fn watched(
    real: Features<'_>,
    synthetic: Features<'_>,
    nearest: usize,
    watch: Watch<'_>,
) -> ControlFlow<(), Prdc> {
    let (n, m) = (real.rows() as f64, synthetic.rows() as f64);
    let (pairs, mut done) = (n * n / 2.0 + m * m / 2.0 + n * m, 0.0);
    let mut count = |tile: &Tile| {
        done += tile.squared.len() as f64;
        // Tiles on the diagonal are counted as a whole.
        watch((done / pairs).min(1.0))
    };
    let shift: Vec<f32> = real.mean().iter().map(|&mean| mean as f32).collect();
    let real_radii = squared_radii(real, &shift, nearest, &mut count)?;
    let synthetic_radii = squared_radii(synthetic, &shift, nearest, &mut count)?;
    let mut balls = vec![0u32; synthetic.rows()];
    let mut recalled = vec![false; real.rows()];
    let mut closest = vec![f32::INFINITY; real.rows()];
    for_each_tile(real, synthetic, &shift, false, |tile| {
        for (i, distances) in tile.squared.chunks_exact(tile.columns).enumerate() {
            let i = tile.first_row + i;
            let columns = tile.first_column..tile.first_column + tile.columns;
            for ((&squared, ball), radius) in
                distances.iter().zip(&mut balls[columns.clone()]).zip(&synthetic_radii[columns])
            {
                *ball += u32::from(squared < real_radii[i]);
                recalled[i] |= squared < *radius;
                closest[i] = closest[i].min(squared);
            }
        }
        count(tile)
    })?;
    let share = |hits: usize, of: usize| hits as f64 / of as f64;
    let covered = closest.iter().zip(&real_radii).filter(|(closest, radius)| closest < radius).count();
    ControlFlow::Continue(Prdc {
        precision: share(balls.iter().filter(|&&balls| balls > 0).count(), balls.len()),
        recall: share(recalled.iter().filter(|&&hit| hit).count(), recalled.len()),
        density: balls.iter().map(|&balls| f64::from(balls)).sum::<f64>() / (nearest * balls.len()) as f64,
        coverage: share(covered, real_radii.len()),
    })
}

/// Squared distance of every image to its k-th nearest other one; `count` is told of every tile.
fn squared_radii(
    features: Features<'_>,
    shift: &[f32],
    nearest: usize,
    count: &mut dyn FnMut(&Tile) -> ControlFlow<()>,
) -> ControlFlow<(), Vec<f32>> {
    let mut smallest = vec![f32::INFINITY; features.rows() * nearest];
    let mut take =
        |row: usize, squared: f32| insert(&mut smallest[row * nearest..(row + 1) * nearest], squared);
    for_each_tile(features, features, shift, true, |tile: &Tile| {
        let on_diagonal = tile.first_row == tile.first_column;
        for (i, distances) in tile.squared.chunks_exact(tile.columns).enumerate() {
            let row = tile.first_row + i;
            for (j, &squared) in distances.iter().enumerate() {
                let column = tile.first_column + j;
                if row != column {
                    take(row, squared);
                    if !on_diagonal {
                        take(column, squared);
                    }
                }
            }
        }
        count(tile)
    })?;
    ControlFlow::Continue(smallest.chunks_exact(nearest).map(|smallest| smallest[nearest - 1]).collect())
}

/// Keeps the smallest values in rising order.
fn insert(smallest: &mut [f32], value: f32) {
    let last = smallest.len() - 1;
    if value >= smallest[last] {
        return;
    }
    let place = smallest.partition_point(|&known| known <= value);
    smallest[place..].rotate_right(1);
    smallest[place] = value;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn alone(real: Features<'_>, synthetic: Features<'_>, nearest: usize) -> Result<Prdc, FeatureError> {
        prdc(real, synthetic, nearest, &mut |_| ControlFlow::Continue(()))
    }

    #[test]
    fn a_case_on_a_line() {
        // Radii with k = 1: real 1, 1, 8 (of 0, 1, 9), synthetic 0.5, 0.5, 87.5 (of 0.5, 1, 100; open balls).
        let (real, synthetic) = ([0.0, 1.0, 9.0], [0.5, 1.0, 88.5]);
        let found =
            alone(Features::new(&real, 1).unwrap(), Features::new(&synthetic, 1).unwrap(), 1).unwrap();
        // 0.5 is in the balls of 0 and 1, 1 in that of 1 (9 is exactly 8 away, 0 exactly 1), 88.5 in none.
        assert!((found.precision - 2.0 / 3.0).abs() < 1e-12);
        assert!((found.density - 3.0 / 3.0).abs() < 1e-12);
        // 0 is exactly at the radius 0.5 of 0.5; 1 is the synthetic 1; 9 is in the ball of 88.5 (radius 87.5).
        assert!((found.recall - 2.0 / 3.0).abs() < 1e-12);
        assert!((found.coverage - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn sets_without_enough_neighbours_are_refused() {
        let few = Features::new(&[0.0, 1.0, 2.0], 1).unwrap();
        let error = alone(few, few, 3).unwrap_err();
        assert!(matches!(error, FeatureError::TooFew { needed: 4, found: 3, .. }), "{error}");
    }

    #[test]
    fn tiles_make_no_difference() {
        // More images than a tile has rows, on a line: every neighbour is known.
        let line: Vec<f32> = (0..1500).map(|i| i as f32).collect();
        let features = Features::new(&line, 1).unwrap();
        let radii = squared_radii(features, &[700.0], 2, &mut |_| ControlFlow::Continue(()))
            .continue_value()
            .unwrap();
        assert_eq!((radii[0], radii[1], radii[1023], radii[1024], radii[1499]), (4.0, 1.0, 1.0, 1.0, 4.0));
        let found = alone(features, features, 2).unwrap();
        assert_eq!((found.precision, found.recall, found.coverage), (1.0, 1.0, 1.0));
    }

    #[test]
    fn a_watch_sees_the_work_go_on_and_may_stop_it() {
        let line: Vec<f32> = (0..3000).map(|i| i as f32).collect();
        let features = Features::new(&line, 1).unwrap();
        let mut seen = Vec::new();
        let until_half = |share: f64| {
            seen.push(share);
            if share < 0.5 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        };
        let stopped = prdc(features, features, 2, &mut { until_half });
        assert_eq!(stopped, Err(FeatureError::Stopped { metric: NAME }));
        assert!(seen.len() > 3 && seen.is_sorted() && *seen.last().unwrap() >= 0.5, "{seen:?}");
    }
}

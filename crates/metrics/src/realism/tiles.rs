//! Distances of all pairs of rows, a tile at a time: memory does not grow with the number of images.

use std::ops::ControlFlow;

use faer::linalg::matmul::matmul;
use faer::{Accum, Mat};
use rayon::prelude::*;

use super::Features;
use super::eigen::parallelism;

/// Rows and columns of a tile: 4 MB of distances, 16 MB of rows at 2,048 features.
const TILE: usize = 1024;

/// Squared Euclidean distances between some rows of two sets.
pub(super) struct Tile {
    /// The first row of the first set.
    pub(super) first_row: usize,
    /// The first row of the second set.
    pub(super) first_column: usize,
    /// Rows of the second set.
    pub(super) columns: usize,
    /// `[rows, columns]`.
    pub(super) squared: Vec<f32>,
}

/// Calls `each` for the tiles of all pairs of a row of `x` and a row of `y`; with `upper` only for those on and above
/// the diagonal, for a set beside itself. `shift` is taken from every row first: the nearer the rows are to zero, the
/// more digits of their distances are right. Ends early, with a break, when `each` does.
pub(super) fn for_each_tile(
    x: Features<'_>,
    y: Features<'_>,
    shift: &[f32],
    upper: bool,
    mut each: impl FnMut(&Tile) -> ControlFlow<()>,
) -> ControlFlow<()> {
    for first_row in (0..x.rows()).step_by(TILE) {
        let rows = Rows::new(x, first_row, shift);
        let begin = if upper { first_row } else { 0 };
        let columns: Vec<usize> = (begin..y.rows()).step_by(TILE).collect();
        // A thread a tile, so that nothing of a tile waits for one thread; then all of them in their order.
        for columns in columns.chunks(rayon::current_num_threads()) {
            let tile = |&first_column: &usize| Tile::new(&rows, &Rows::new(y, first_column, shift));
            for tile in columns.par_iter().map(tile).collect::<Vec<Tile>>() {
                each(&tile)?;
            }
        }
    }
    ControlFlow::Continue(())
}

impl Tile {
    fn new(rows: &Rows, columns: &Rows) -> Self {
        // Column-major products of the second set's rows with the first's are row-major of what is wanted.
        let mut products = Mat::<f32>::zeros(columns.count(), rows.count());
        let (first, second) = (columns.values.transpose(), rows.values.as_ref());
        matmul(products.as_mut(), Accum::Replace, first, second, -2.0, parallelism());
        let mut squared = Vec::with_capacity(rows.count() * columns.count());
        for (i, &of_row) in rows.squares.iter().enumerate() {
            let products = products.col_as_slice(i).iter().zip(&columns.squares);
            squared.extend(products.map(|(product, of_column)| (of_row + of_column + product).max(0.0)));
        }
        Self { first_row: rows.start, first_column: columns.start, columns: columns.count(), squared }
    }
}

/// Up to [`TILE`] rows of a set, shifted, with the squares of their lengths.
struct Rows {
    start: usize,
    /// `[dims, rows]`, column-major: a row of the set is contiguous.
    values: Mat<f32>,
    squares: Vec<f32>,
}

impl Rows {
    fn new(features: Features<'_>, start: usize, shift: &[f32]) -> Self {
        let count = TILE.min(features.rows() - start);
        let values = Mat::from_fn(features.dims(), count, |j, i| features.row(start + i)[j] - shift[j]);
        let squares = (0..count).map(|i| values.col(i).squared_norm_l2()).collect();
        Self { start, values, squares }
    }

    fn count(&self) -> usize {
        self.squares.len()
    }
}

//! Distances of all pairs of rows, a tile at a time: memory does not grow with the number of images.

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
/// more digits of their distances are right.
pub(super) fn for_each_tile(
    x: Features<'_>,
    y: Features<'_>,
    shift: &[f32],
    upper: bool,
    mut each: impl FnMut(&Tile),
) {
    for first_row in (0..x.rows()).step_by(TILE) {
        let rows = Rows::new(x, first_row, shift);
        for first_column in (0..y.rows()).step_by(TILE).filter(|&column| !upper || column >= first_row) {
            let columns = Rows::new(y, first_column, shift);
            // Column-major products of the second set's rows with the first's are row-major of what is wanted.
            let mut tile = Mat::<f32>::zeros(columns.count(), rows.count());
            matmul(
                tile.as_mut(),
                Accum::Replace,
                columns.values.transpose(),
                rows.values.as_ref(),
                -2.0,
                parallelism(),
            );
            let squared = (0..rows.count()).into_par_iter().flat_map_iter(|i| {
                let products = (0..columns.count()).map(|j| tile[(j, i)]).collect::<Vec<f32>>();
                let of_row = rows.squares[i];
                products
                    .into_iter()
                    .zip(&columns.squares)
                    .map(move |(product, of_column)| (of_row + of_column + product).max(0.0))
            });
            each(&Tile { first_row, first_column, columns: columns.count(), squared: squared.collect() });
        }
    }
}

/// Up to [`TILE`] rows of a set, shifted, with the squares of their lengths.
struct Rows {
    /// `[dims, rows]`, column-major: a row of the set is contiguous.
    values: Mat<f32>,
    squares: Vec<f32>,
}

impl Rows {
    fn new(features: Features<'_>, start: usize, shift: &[f32]) -> Self {
        let count = TILE.min(features.rows() - start);
        let values = Mat::from_fn(features.dims(), count, |j, i| features.row(start + i)[j] - shift[j]);
        let squares = (0..count).map(|i| values.col(i).squared_norm_l2()).collect();
        Self { values, squares }
    }

    fn count(&self) -> usize {
        self.squares.len()
    }
}

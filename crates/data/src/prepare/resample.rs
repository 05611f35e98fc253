//! Padding to a square and reducing it by whole blocks.

use synthmr_core::limits;

/// A slice of `rows` x `columns` in the middle of a square of `side`, which is `resolution` blocks of
/// `factor` x `factor` pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Square {
    rows: usize,
    columns: usize,
    /// Pixels along an edge of the padded square.
    pub(super) side: usize,
    /// Pixels along an edge of a block.
    pub(super) factor: usize,
}

impl Square {
    /// The smallest square that is a multiple of the resolution and holds the slice.
    pub(super) fn fitting(rows: usize, columns: usize, resolution: usize) -> Self {
        let factor = rows.max(columns).div_ceil(resolution).max(1);
        Self { rows, columns, side: factor * resolution, factor }
    }

    /// Calls `block(row of blocks, rows of pixels)` with padded rows, `factor` of them at a time.
    fn for_each_block_row(&self, slice: &[u8], mut block: impl FnMut(usize, &[u8])) {
        let (top, left) = ((self.side - self.rows) / 2, (self.side - self.columns) / 2);
        let mut padded = vec![0u8; self.factor * self.side];
        for block_row in 0..self.side / self.factor {
            for (i, out) in padded.chunks_exact_mut(self.side).enumerate() {
                let out = &mut out[left..left + self.columns];
                match (block_row * self.factor + i).checked_sub(top).filter(|&row| row < self.rows) {
                    Some(row) => out.copy_from_slice(&slice[row * self.columns..(row + 1) * self.columns]),
                    None => out.fill(0),
                }
            }
            block(block_row, &padded);
        }
    }

    /// The mean of every block, halves rounded up: `slice` u8 `[rows, columns]`, `out` u8
    /// `[resolution, resolution]`.
    pub(super) fn mean(&self, slice: &[u8], out: &mut [u8]) {
        let resolution = self.side / self.factor;
        let area = (self.factor * self.factor) as u32;
        let mut sums = vec![0u32; resolution];
        self.for_each_block_row(slice, |block_row, rows| {
            sums.fill(0);
            for row in rows.chunks_exact(self.side) {
                for (sum, pixels) in sums.iter_mut().zip(row.chunks_exact(self.factor)) {
                    *sum += pixels.iter().map(|&pixel| u32::from(pixel)).sum::<u32>();
                }
            }
            let out = &mut out[block_row * resolution..(block_row + 1) * resolution];
            for (out, sum) in out.iter_mut().zip(&sums) {
                *out = ((sum + area / 2) / area) as u8;
            }
        });
    }

    /// The commonest class of every block, the lower one on a tie; `slice` holds values below `classes`.
    pub(super) fn commonest(&self, slice: &[u8], classes: usize, out: &mut [u8]) {
        let resolution = self.side / self.factor;
        self.for_each_block_row(slice, |block_row, rows| {
            let out = &mut out[block_row * resolution..(block_row + 1) * resolution];
            // Most rows of most slices are background.
            if rows.iter().all(|&class| class == 0) {
                out.fill(0);
                return;
            }
            for (column, out) in out.iter_mut().enumerate() {
                let mut counts = [0u32; limits::LABEL_CLASSES];
                for row in rows.chunks_exact(self.side) {
                    for &class in &row[column * self.factor..(column + 1) * self.factor] {
                        counts[usize::from(class)] += 1;
                    }
                }
                let larger =
                    |best: usize, class: usize| if counts[class] > counts[best] { class } else { best };
                *out = (0..classes).fold(0, larger) as u8;
            }
        });
    }

    /// Gives every pixel of the slice the value of its block: `reduced` u8 `[resolution, resolution]`, `out` u8
    /// `[rows, columns]`. What [`Self::commonest`] makes of it is `reduced` again, but for blocks that are mostly padding.
    pub(super) fn enlarge(&self, reduced: &[u8], out: &mut [u8]) {
        let resolution = self.side / self.factor;
        let (top, left) = ((self.side - self.rows) / 2, (self.side - self.columns) / 2);
        for (row, out) in out.chunks_exact_mut(self.columns).enumerate() {
            let blocks = &reduced[(row + top) / self.factor * resolution..][..resolution];
            for (column, out) in out.iter_mut().enumerate() {
                *out = blocks[(column + left) / self.factor];
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn squares_fit() {
        let square = |rows, columns, resolution| {
            let square = Square::fitting(rows, columns, resolution);
            (square.side, square.factor)
        };
        assert_eq!(square(240, 240, 256), (256, 1));
        assert_eq!(square(240, 240, 64), (256, 4));
        assert_eq!(square(120, 120, 64), (128, 2));
        assert_eq!(square(100, 512, 256), (512, 2));
        assert_eq!(square(7, 3, 16), (16, 1));
        assert_eq!(square(257, 1, 256), (512, 2));
    }

    #[test]
    fn without_reduction_the_slice_lies_in_the_middle() {
        let square = Square::fitting(2, 3, 16);
        let mut out = vec![9; 256];
        square.mean(&[1, 2, 3, 4, 5, 6], &mut out);
        let mut expected = vec![0; 256];
        expected[7 * 16 + 6..][..3].copy_from_slice(&[1, 2, 3]);
        expected[8 * 16 + 6..][..3].copy_from_slice(&[4, 5, 6]);
        assert_eq!(out, expected);
    }

    #[test]
    fn blocks_become_their_mean_and_their_commonest_class() {
        let square = Square { rows: 4, columns: 4, side: 4, factor: 2 };
        let slice = [0, 1, 2, 2, 1, 0, 3, 3, 1, 1, 3, 3, 1, 0, 3, 2];
        let mut out = [0; 4];
        square.mean(&slice, &mut out);
        // Sums 2, 10, 3, 11 over 4: 0.5 and 2.5 are rounded up.
        assert_eq!(out, [1, 3, 1, 3]);
        square.commonest(&slice, 4, &mut out);
        // Two ties: 0 and 1, 2 and 3.
        assert_eq!(out, [0, 2, 1, 3]);
    }
}

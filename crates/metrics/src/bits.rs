//! Masks with a bit a voxel, and their surface.

use crate::overlap::Bounds;
use crate::pair::ClassSet;

const WORD: usize = u64::BITS as usize;

/// A mask inside a box, `[depth, height, width]`; each row along width is padded with zeros to whole words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BitMask {
    shape: [usize; 3],
    row_words: usize,
    words: Vec<u64>,
}

impl BitMask {
    /// The voxels of `bounds` whose label belongs to `set`; `labels` has the shape `volume`.
    pub(crate) fn from_labels(labels: &[u8], volume: [usize; 3], bounds: &Bounds, set: ClassSet) -> Self {
        let shape: [usize; 3] = std::array::from_fn(|axis| bounds.high[axis] - bounds.low[axis]);
        let row_words = shape[2].div_ceil(WORD);
        let mut words = Vec::with_capacity(shape[0] * shape[1] * row_words);
        for z in bounds.low[0]..bounds.high[0] {
            for y in bounds.low[1]..bounds.high[1] {
                let row = (z * volume[1] + y) * volume[2];
                let row = &labels[row + bounds.low[2]..row + bounds.high[2]];
                words.extend(row.chunks(WORD).map(|voxels| pack(voxels, set)));
            }
        }
        Self { shape, row_words, words }
    }

    /// `[depth, height, width]` of the box.
    pub(crate) fn shape(&self) -> [usize; 3] {
        self.shape
    }

    /// The words of one row; bit `x % 64` of word `x / 64` is voxel `x`.
    pub(crate) fn row(&self, z: usize, y: usize) -> &[u64] {
        let start = (z * self.shape[1] + y) * self.row_words;
        &self.words[start..start + self.row_words]
    }

    /// How many voxels are set.
    #[cfg(test)]
    pub(crate) fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The mask without its erosion by the 6-neighbourhood: set voxels with an unset face neighbour, where all
    /// that lies outside the box is unset. This is `mask ^ scipy.ndimage.binary_erosion(mask)` with its
    /// border value 0, so set voxels at the edge of the image are surface. Because the box holds the whole
    /// mask, its surface does not depend on the box.
    pub(crate) fn surface(&self) -> Self {
        let [depth, height, _] = self.shape;
        let zeros = vec![0; self.row_words];
        let row = |z: Option<usize>, y: Option<usize>| match (z, y) {
            (Some(z), Some(y)) if z < depth && y < height => self.row(z, y),
            _ => zeros.as_slice(),
        };
        let mut words = Vec::with_capacity(self.words.len());
        for z in 0..depth {
            for y in 0..height {
                let here = self.row(z, y);
                let (above, below) = (row(z.checked_sub(1), Some(y)), row(Some(z + 1), Some(y)));
                let (before, after) = (row(Some(z), y.checked_sub(1)), row(Some(z), Some(y + 1)));
                for i in 0..self.row_words {
                    let left = if i > 0 { here[i - 1] >> (WORD - 1) } else { 0 };
                    let right = if i + 1 < self.row_words { here[i + 1] << (WORD - 1) } else { 0 };
                    let along_row = (here[i] << 1 | left) & (here[i] >> 1 | right);
                    let inside = along_row & above[i] & below[i] & before[i] & after[i];
                    words.push(here[i] & !inside);
                }
            }
        }
        Self { shape: self.shape, row_words: self.row_words, words }
    }
}

/// One word from up to 64 labels.
fn pack(voxels: &[u8], set: ClassSet) -> u64 {
    let (groups, rest) = voxels.as_chunks::<8>();
    let byte = |labels: &[u8]| {
        labels.iter().enumerate().fold(0u64, |bits, (i, &label)| bits | u64::from(set.contains(label)) << i)
    };
    let mut word = 0;
    for (i, group) in groups.iter().enumerate() {
        // The background is in no set that has a surface.
        if u64::from_ne_bytes(*group) != 0 {
            word |= byte(group) << (8 * i);
        }
    }
    if rest.is_empty() { word } else { word | byte(rest) << (8 * groups.len()) }
}

/// The distance in voxels from `x` to the nearest set bit of a row; `None` for an empty row.
pub(crate) fn nearest_in_row(row: &[u64], x: usize) -> Option<usize> {
    let (word, bit) = (x / WORD, x % WORD);
    let right = row[word] >> bit;
    let right = if right != 0 {
        Some(right.trailing_zeros() as usize)
    } else {
        let ahead = row[word + 1..].iter().enumerate().find(|&(_, &w)| w != 0);
        ahead.map(|(i, w)| (i + 1) * WORD - bit + w.trailing_zeros() as usize)
    };
    let left = row[word] << (WORD - 1 - bit);
    let left = if left != 0 {
        Some(left.leading_zeros() as usize)
    } else {
        let behind = row[..word].iter().rev().enumerate().find(|&(_, &w)| w != 0);
        behind.map(|(i, w)| i * WORD + bit + 1 + w.leading_zeros() as usize)
    };
    match (left, right) {
        (Some(left), Some(right)) => Some(left.min(right)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use synthmr_core::random::{Draw, Stream, rng};

    use super::*;

    #[test]
    fn nearest_bit_equals_a_plain_search() {
        let mut random = rng(2, Stream::Test, 0);
        for _ in 0..300 {
            let mut row = vec![0u64; 1 + random.below(4) as usize];
            let width = row.len() * WORD;
            let set: Vec<usize> = (0..random.below(4)).map(|_| random.below(width as u64) as usize).collect();
            for &x in &set {
                row[x / WORD] |= 1 << (x % WORD);
            }
            for x in 0..width {
                assert_eq!(nearest_in_row(&row, x), set.iter().map(|s| s.abs_diff(x)).min(), "{set:?} {x}");
            }
        }
    }

    #[test]
    fn surface_is_where_a_face_neighbour_is_missing() {
        let mut random = rng(3, Stream::Test, 0);
        for shape in [[3usize, 4, 5], [1, 6, 70], [4, 4, 130], [5, 1, 64]] {
            let n = shape.iter().product();
            let labels: Vec<u8> = (0..n).map(|_| u8::from(random.chance(0.85))).collect();
            let whole = Bounds { low: [0; 3], high: shape };
            let mask = BitMask::from_labels(&labels, shape, &whole, ClassSet::new(&[1]));
            let set = |z: isize, y: isize, x: isize| {
                let inside = [z, y, x].iter().zip(shape).all(|(&i, extent)| i >= 0 && (i as usize) < extent);
                inside && labels[(z as usize * shape[1] + y as usize) * shape[2] + x as usize] == 1
            };
            let surface = mask.surface();
            let mut count = 0;
            for i in 0..n {
                let (z, y, x) = (i / (shape[1] * shape[2]), i / shape[2] % shape[1], i % shape[2]);
                let (a, b, c) = (z as isize, y as isize, x as isize);
                let neighbours = [
                    set(a - 1, b, c),
                    set(a + 1, b, c),
                    set(a, b - 1, c),
                    set(a, b + 1, c),
                    set(a, b, c - 1),
                    set(a, b, c + 1),
                ];
                let expected = set(a, b, c) && neighbours.contains(&false);
                assert_eq!(
                    surface.row(z, y)[x / WORD] >> (x % WORD) & 1 == 1,
                    expected,
                    "{shape:?} {z} {y} {x}"
                );
                count += usize::from(expected);
            }
            assert_eq!(surface.count(), count);
        }
    }
}

//! Anatomical directions of the voxel axes, and volumes with their axes permuted and reversed.

use std::fmt;
use std::str::FromStr;

use super::affine::{column, spacing_mm};
use super::volume::Volume;

/// The letters of an axis of RAS+ coordinates: towards its negative and its positive end.
const LETTERS: [[char; 2]; 3] = [['L', 'R'], ['P', 'A'], ['I', 'S']];

/// The six orders of three axes.
const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The direction in which the index along each voxel axis rises: `LPS` rises to the left, to the back and
/// upwards. One of 48; the letters of nibabel's `aff2axcodes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AxisCodes {
    /// For each voxel axis, the axis of RAS+ coordinates that it runs along.
    world: [usize; 3],
    /// For each voxel axis, whether it runs to the positive end.
    positive: [bool; 3],
}

/// Not the name of an orientation.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not an orientation: expected one letter each of L/R, P/A and I/S, such as LPS, found {0:?}")]
pub struct AxisCodesError(String);

impl AxisCodes {
    /// The orientation of BraTS: indices rise to the left, to the back and upwards.
    pub const LPS: Self = Self { world: [0, 1, 2], positive: [false, false, true] };

    /// The orientation whose indices rise with the RAS+ coordinates.
    pub const RAS: Self = Self { world: [0, 1, 2], positive: [true; 3] };

    /// The orientation nearest to an affine (rows as in [`Volume::affine`]): the assignment of voxel axes to
    /// anatomical axes with the largest sum of cosines. The affine must not be singular.
    pub fn of(affine: &[[f64; 4]; 3]) -> Self {
        let spacing = spacing_mm(affine);
        let cosine = |axis: usize, world: usize| affine[world][axis] / spacing[axis];
        let sum = |order: &[usize; 3]| (0..3).map(|axis| cosine(axis, order[axis]).abs()).sum::<f64>();
        // The first of equals, so that 45 degrees have one answer.
        let world = ORDERS.into_iter().fold(ORDERS[0], |best, o| if sum(&o) > sum(&best) { o } else { best });
        Self { world, positive: std::array::from_fn(|axis| cosine(axis, world[axis]) > 0.0) }
    }
}

impl fmt::Display for AxisCodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (0..3)
            .try_for_each(|axis| write!(f, "{}", LETTERS[self.world[axis]][usize::from(self.positive[axis])]))
    }
}

impl FromStr for AxisCodes {
    type Err = AxisCodesError;
    fn from_str(text: &str) -> Result<Self, AxisCodesError> {
        let fail = || AxisCodesError(text.chars().take(20).collect());
        let letters: Vec<char> = text.chars().take(4).collect();
        let letters: [char; 3] = letters.try_into().map_err(|_| fail())?;
        let (mut world, mut positive) = ([0; 3], [false; 3]);
        for (axis, letter) in letters.into_iter().enumerate() {
            let found = LETTERS
                .iter()
                .enumerate()
                .find_map(|(w, ends)| ends.iter().position(|end| *end == letter).map(|end| (w, end == 1)));
            (world[axis], positive[axis]) = found.ok_or_else(fail)?;
        }
        if ORDERS.contains(&world) { Ok(Self { world, positive }) } else { Err(fail()) }
    }
}

impl Volume {
    /// The orientation nearest to the volume's affine.
    pub fn axis_codes(&self) -> AxisCodes {
        AxisCodes::of(&self.affine)
    }

    /// The same volume with its axes in another order and direction. No value is interpolated, and every
    /// voxel keeps its place in millimetres; an oblique volume stays oblique.
    pub fn reorient(self, to: AxisCodes) -> Self {
        let from = self.axis_codes();
        if from == to {
            return self;
        }
        let source: [usize; 3] = std::array::from_fn(|axis| {
            // Both are permutations of the three anatomical axes, so there is always a match.
            (0..3).find(|&s| from.world[s] == to.world[axis]).unwrap_or(axis)
        });
        let reversed: [bool; 3] =
            std::array::from_fn(|axis| from.positive[source[axis]] != to.positive[axis]);
        let shape = source.map(|s| self.shape[s]);
        let affine = reoriented_affine(&self, source, reversed);
        let strides = [1, self.shape[0], self.shape[0] * self.shape[1]];
        // Position in the source of the new voxel 0, and the step along each new axis.
        let step: [isize; 3] = std::array::from_fn(|axis| {
            let stride = strides[source[axis]] as isize;
            if reversed[axis] { -stride } else { stride }
        });
        let start: isize =
            (0..3).filter(|&axis| reversed[axis]).map(|axis| -step[axis] * (shape[axis] as isize - 1)).sum();
        let mut voxels = Vec::with_capacity(self.voxels.len());
        for k in 0..shape[2] as isize {
            for j in 0..shape[1] as isize {
                let row = start + k * step[2] + j * step[1];
                let at = |i: isize| self.voxels[(row + i * step[0]) as usize];
                voxels.extend((0..shape[0] as isize).map(at));
            }
        }
        Self::new(shape, affine, voxels)
    }
}

fn reoriented_affine(volume: &Volume, source: [usize; 3], reversed: [bool; 3]) -> [[f64; 4]; 3] {
    let mut affine = [[0.0; 4]; 3];
    for (row, out) in affine.iter_mut().enumerate() {
        out[3] = volume.affine[row][3];
        for axis in 0..3 {
            let along = column(&volume.affine, source[axis])[row];
            out[axis] = if reversed[axis] { -along } else { along };
            if reversed[axis] {
                out[3] += along * (volume.shape[source[axis]] as f64 - 1.0);
            }
        }
    }
    affine
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all() -> Vec<AxisCodes> {
        let signs = (0..8).map(|bits| std::array::from_fn(|axis| bits >> axis & 1 == 1));
        signs.flat_map(|positive| ORDERS.map(|world| AxisCodes { world, positive })).collect()
    }

    #[test]
    fn every_orientation_puts_a_marked_voxel_in_one_place() {
        let shape = [3, 4, 5];
        let mut voxels = vec![0.0; 60];
        voxels[1 + 3 * (3 + 4)] = 1.0;
        let affine = [[1.9, 0.2, 0.0, -10.0], [-0.1, 3.0, 0.3, 20.0], [0.1, 0.0, 4.0, 30.0]];
        let volume = Volume::new(shape, affine, voxels);
        let place = |v: &Volume| -> [f64; 3] {
            let at = v.voxels.iter().position(|&x| x == 1.0).unwrap();
            let index = [at % v.shape[0], at / v.shape[0] % v.shape[1], at / v.shape[0] / v.shape[1]];
            std::array::from_fn(|row| {
                v.affine[row][3] + (0..3).map(|axis| v.affine[row][axis] * index[axis] as f64).sum::<f64>()
            })
        };
        let expected = place(&volume);
        assert_eq!(all().len(), 48);
        for codes in all() {
            assert_eq!(codes.to_string().parse(), Ok(codes));
            let turned = volume.clone().reorient(codes);
            assert_eq!(turned.axis_codes(), codes);
            let found = place(&turned);
            assert!((0..3).all(|i| (found[i] - expected[i]).abs() < 1e-9), "{codes}: {found:?}");
            for target in all() {
                let back = turned.clone().reorient(target).reorient(AxisCodes::RAS);
                assert_eq!(back.voxels, volume.voxels, "{codes} to {target}");
            }
        }
    }

    #[test]
    fn all_orientations_turn_to_the_same_lps_volume() {
        // Values that say where they are in LPS: 100 l + 10 p + s.
        let voxels = (0..24).map(|i| (100 * (i % 2) + 10 * (i / 2 % 3) + i / 6) as f32).collect();
        let affine = [[-1.0, 0.0, 0.0, 5.0], [0.0, -2.0, 0.0, 6.0], [0.0, 0.0, 3.0, -7.0]];
        let lps = Volume::new([2, 3, 4], affine, voxels);
        for codes in all() {
            let stored = lps.clone().reorient(codes);
            assert_eq!((stored.axis_codes(), stored.shape.iter().product::<usize>()), (codes, 24));
            assert_eq!(stored.reorient(AxisCodes::LPS), lps, "{codes}");
        }
    }

    #[test]
    fn oblique_axes_go_to_the_nearest() {
        let (sin, cos) = 0.6f64.sin_cos();
        let affine = [[cos, -sin, 0.0, 0.0], [sin, cos, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        assert_eq!(AxisCodes::of(&affine), AxisCodes::RAS);
    }

    #[test]
    fn other_letters_are_refused() {
        for text in ["", "LP", "LLS", "LPSX", "lps", "LRS", "Zoë"] {
            assert!(text.parse::<AxisCodes>().is_err(), "{text} was accepted");
        }
        assert_eq!("LPS".parse(), Ok(AxisCodes::LPS));
    }
}

//! Where voxels are, without their values.

use super::affine::{Affine, spacing_mm};
use super::volume::Volume;

/// How far the grids of one subject's volumes may be apart at any corner, as a share of the smallest spacing:
/// beyond rounding of headers, an annotation is drawn on another image.
const SAME_PLACE: f64 = 0.1;

/// By how much spacings may differ, as a share.
const SAME_SPACING: f64 = 1e-3;

/// Extents and place of a volume.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Grid {
    shape: [usize; 3],
    affine: Affine,
}

/// In what two grids differ.
#[derive(Debug, PartialEq)]
pub(crate) struct GridDifference {
    pub(crate) what: &'static str,
    pub(crate) expected: String,
    pub(crate) found: String,
}

impl Grid {
    /// The grid of a volume as it is stored. Two volumes are on one grid when they are after being turned to one
    /// orientation.
    pub(crate) fn of(volume: &Volume) -> Self {
        Self { shape: volume.shape, affine: volume.affine }
    }

    /// The first of shape, spacing and place in which `found` differs.
    pub(crate) fn difference(&self, found: &Self) -> Option<GridDifference> {
        let difference =
            |what, expected: String, found: String| Some(GridDifference { what, expected, found });
        if self.shape != found.shape {
            return difference("shape", format!("{:?}", self.shape), format!("{:?}", found.shape));
        }
        let (wanted, got) = (spacing_mm(&self.affine), spacing_mm(&found.affine));
        if wanted.iter().zip(got).any(|(a, b)| (a - b).abs() > SAME_SPACING * a) {
            return difference("spacing in mm", format!("{wanted:?}"), format!("{got:?}"));
        }
        let distance = largest_distance(self.shape, &self.affine, &found.affine);
        if distance > SAME_PLACE * wanted.into_iter().fold(f64::INFINITY, f64::min) {
            let found = format!("{:?}, which moves voxels by up to {distance:.3} mm", found.affine);
            return difference("affine", format!("{:?}", self.affine), found);
        }
        None
    }
}

/// What two affines make of the same voxels: the largest distance over the eight corners, in millimetres.
/// Both affines are linear, so no voxel between the corners moves farther.
pub(crate) fn largest_distance(shape: [usize; 3], a: &Affine, b: &Affine) -> f64 {
    let corner = |bits: usize| -> f64 {
        let index: [f64; 3] =
            std::array::from_fn(|axis| if bits >> axis & 1 == 1 { shape[axis] as f64 - 1.0 } else { 0.0 });
        let difference = |row: usize| {
            (0..3).map(|axis| (a[row][axis] - b[row][axis]) * index[axis]).sum::<f64>() + a[row][3]
                - b[row][3]
        };
        (0..3).map(|row| difference(row).powi(2)).sum::<f64>().sqrt()
    };
    (0..8).map(corner).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LPS: Affine = [[-1.0, 0.0, 0.0, 5.0], [0.0, -2.0, 0.0, 6.0], [0.0, 0.0, 3.0, -7.0]];

    #[test]
    fn distance_is_that_of_the_farthest_corner() {
        let mut other = LPS;
        other[2][2] = 3.5;
        // Three steps of half a millimetre.
        assert!((largest_distance([2, 3, 4], &LPS, &other) - 1.5).abs() < 1e-12);
        assert_eq!(largest_distance([2, 3, 4], &LPS, &LPS), 0.0);
    }

    #[test]
    fn the_tolerance_is_a_tenth_of_the_smallest_spacing() {
        let grid = |shift: f64| {
            let mut affine = LPS;
            affine[0][3] += shift;
            Grid { shape: [2, 3, 4], affine }
        };
        assert_eq!(grid(0.0).difference(&grid(0.099)), None);
        assert_eq!(grid(0.0).difference(&grid(0.101)).unwrap().what, "affine");
    }
}

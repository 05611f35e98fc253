//! Turning a volume to LPS: the first axis runs to the patient's left, the second to posterior, the third up.

use crate::nifti::Volume;

/// Where an axis of the turned volume comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Axis {
    /// Axis of the source.
    from: usize,
    /// Whether it runs the other way.
    flipped: bool,
}

const PERMUTATIONS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];

/// The source axes that are nearest to left, posterior and superior. The affine is in RAS+.
fn axes_to_lps(volume: &Volume) -> [Axis; 3] {
    let towards = [-1.0, -1.0, 1.0];
    let direction =
        |row: usize, axis: usize| volume.affine[row][axis] / volume.spacing_mm[axis].max(f64::MIN_POSITIVE);
    let alignment = |axes: &[usize; 3]| (0..3).map(|row| direction(row, axes[row]).abs()).sum::<f64>();
    let best = PERMUTATIONS
        .into_iter()
        .reduce(|best, axes| if alignment(&axes) > alignment(&best) { axes } else { best })
        .unwrap_or([0, 1, 2]);
    std::array::from_fn(|row| {
        let from = best[row];
        Axis { from, flipped: direction(row, from) * towards[row] < 0.0 }
    })
}

/// The same volume with its voxels in LPS order and the affine that says so. Free when it is LPS already.
pub(super) fn into_lps(volume: Volume) -> Volume {
    let axes = axes_to_lps(&volume);
    if axes.iter().enumerate().all(|(axis, source)| source.from == axis && !source.flipped) {
        return volume;
    }
    let source_strides = [1, volume.shape[0], volume.shape[0] * volume.shape[1]];
    let shape = axes.map(|axis| volume.shape[axis.from]);
    let last = |axis: Axis| volume.shape[axis.from].saturating_sub(1);
    let index =
        |axis: Axis, i: usize| source_strides[axis.from] * if axis.flipped { last(axis) - i } else { i };
    let columns: Vec<usize> = (0..shape[0]).map(|x| index(axes[0], x)).collect();
    let mut voxels = Vec::with_capacity(volume.voxels.len());
    for z in 0..shape[2] {
        for y in 0..shape[1] {
            let start = index(axes[2], z) + index(axes[1], y);
            voxels.extend(columns.iter().map(|column| volume.voxels[start + column]));
        }
    }
    let affine = std::array::from_fn(|row| {
        let source = &volume.affine[row];
        let mut origin = source[3];
        let columns = axes.map(|axis| {
            if !axis.flipped {
                return source[axis.from];
            }
            origin += source[axis.from] * last(axis) as f64;
            -source[axis.from]
        });
        [columns[0], columns[1], columns[2], origin]
    });
    Volume { shape, affine, spacing_mm: axes.map(|axis| volume.spacing_mm[axis.from]), voxels }
}

/// The largest distance between corresponding corners of two volumes of the same shape, in millimetres.
pub(super) fn largest_displacement(a: &Volume, b: &Volume) -> f64 {
    let corner = |affine: &[[f64; 4]; 3], corner: usize| -> [f64; 3] {
        let voxel: [f64; 3] = std::array::from_fn(|axis| {
            let last = a.shape[axis].saturating_sub(1) as f64;
            if corner >> axis & 1 == 1 { last } else { 0.0 }
        });
        std::array::from_fn(|row| {
            affine[row][3] + (0..3).map(|axis| affine[row][axis] * voxel[axis]).sum::<f64>()
        })
    };
    let distance = |i: usize| {
        let (p, q) = (corner(&a.affine, i), corner(&b.affine, i));
        (0..3).map(|row| (p[row] - q[row]).powi(2)).sum::<f64>().sqrt()
    };
    (0..8).map(distance).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A volume of 2 x 3 x 4 voxels whose values say where they are in LPS: 100 l + 10 p + s.
    fn lps() -> Volume {
        let voxels = (0..24).map(|i| (100 * (i % 2) + 10 * (i / 2 % 3) + i / 6) as f32).collect();
        let affine = [[-1.0, 0.0, 0.0, 5.0], [0.0, -2.0, 0.0, 6.0], [0.0, 0.0, 3.0, -7.0]];
        Volume { shape: [2, 3, 4], affine, spacing_mm: [1.0, 2.0, 3.0], voxels }
    }

    /// The volume stored with other axes: axis `i` is axis `from[i]` of `volume`, backwards where `flipped`.
    fn stored(volume: &Volume, from: [usize; 3], flipped: [bool; 3]) -> Volume {
        let shape = from.map(|axis| volume.shape[axis]);
        let strides = [1, volume.shape[0], volume.shape[0] * volume.shape[1]];
        let mut voxels = Vec::new();
        let at =
            |axis: usize, i: usize| strides[from[axis]] * if flipped[axis] { shape[axis] - 1 - i } else { i };
        for k in 0..shape[2] {
            for j in 0..shape[1] {
                voxels.extend((0..shape[0]).map(|i| volume.voxels[at(0, i) + at(1, j) + at(2, k)]));
            }
        }
        let affine = std::array::from_fn(|row| {
            let source = volume.affine[row];
            let mut out = [0.0, 0.0, 0.0, source[3]];
            for axis in 0..3 {
                let step = source[from[axis]];
                out[axis] = if flipped[axis] { -step } else { step };
                out[3] += if flipped[axis] { step * (shape[axis] - 1) as f64 } else { 0.0 };
            }
            out
        });
        Volume { shape, affine, spacing_mm: from.map(|axis| volume.spacing_mm[axis]), voxels }
    }

    #[test]
    fn all_48_orientations_turn_to_the_same_volume() {
        for from in PERMUTATIONS {
            for flips in 0..8 {
                let flipped = std::array::from_fn(|axis| flips >> axis & 1 == 1);
                let turned = into_lps(stored(&lps(), from, flipped));
                assert_eq!(turned, lps(), "{from:?} {flipped:?}");
                assert!(largest_displacement(&turned, &lps()) < 1e-12);
            }
        }
    }

    #[test]
    fn oblique_axes_go_to_the_nearest() {
        let (sin, cos) = 0.6f64.sin_cos();
        let affine = [[cos, -sin, 0.0, 0.0], [sin, cos, 0.0, 0.0], [0.0, 0.0, 1.0, 0.0]];
        let volume = Volume { affine, spacing_mm: [1.0; 3], ..lps() };
        let axes = axes_to_lps(&volume);
        assert_eq!(axes.map(|axis| axis.from), [0, 1, 2]);
        assert_eq!(axes.map(|axis| axis.flipped), [true, true, false]);
    }

    #[test]
    fn displacement_is_that_of_the_farthest_corner() {
        let mut other = lps();
        other.affine[2][2] = 3.5;
        // Three steps of half a millimetre.
        assert!((largest_displacement(&lps(), &other) - 1.5).abs() < 1e-12);
    }
}

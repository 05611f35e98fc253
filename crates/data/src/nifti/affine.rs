//! From header fields to the affine, and back to a quaternion. Formulas of the NIfTI-1 standard
//! (nifti1.h, "3D IMAGE (VOLUME) ORIENTATION AND LOCATION IN SPACE"); nibabel is the judge.

/// Rows of a matrix that takes homogeneous voxel indices to millimetres.
pub(super) type Affine = [[f64; 4]; 3];

/// Below this share of the product of its column lengths a determinant counts as zero: the axes then span
/// a plane to within the precision of the header's 32-bit floats.
const SINGULAR_SHARE: f64 = 1e-6;

/// Three times the spacing of 32-bit floats at 1: how far rounding may push b^2 + c^2 + d^2 above 1.
const QUATERNION_SLACK: f64 = 3.0 * f32::EPSILON as f64;

pub(super) fn column(affine: &Affine, axis: usize) -> [f64; 3] {
    [affine[0][axis], affine[1][axis], affine[2][axis]]
}

fn norm(v: [f64; 3]) -> f64 {
    v.iter().map(|x| x * x).sum::<f64>().sqrt()
}

/// Distances between voxel centres: the lengths of the affine's columns.
pub(super) fn spacing_mm(affine: &Affine) -> [f64; 3] {
    std::array::from_fn(|axis| norm(column(affine, axis)))
}

pub(super) fn determinant(m: &Affine) -> f64 {
    m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
        + m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0])
}

/// Whether the affine is finite and its three axes span space.
pub(super) fn is_usable(affine: &Affine) -> bool {
    let volume: f64 = spacing_mm(affine).iter().product();
    affine.iter().flatten().all(|x| x.is_finite())
        && volume > 0.0
        && volume.is_finite()
        && determinant(affine).abs() > SINGULAR_SHARE * volume
}

/// The affine of the qform: a rotation given by the imaginary part of a unit quaternion, scaled by the
/// spacing; `qfac` is 1, or -1 for a left-handed third axis. `None` when the quaternion is longer than 1.
pub(super) fn from_quaternion(
    bcd: [f64; 3],
    offset: [f64; 3],
    spacing: [f64; 3],
    qfac: f64,
) -> Option<Affine> {
    let [b, c, d] = bcd;
    let square = 1.0 - (b * b + c * c + d * d);
    let a = if square.abs() < QUATERNION_SLACK {
        0.0
    } else if square > 0.0 {
        square.sqrt()
    } else {
        return None;
    };
    let s = 2.0 / (a * a + b * b + c * c + d * d);
    let rotation = [
        [1.0 - s * (c * c + d * d), s * (b * c - a * d), s * (b * d + a * c)],
        [s * (b * c + a * d), 1.0 - s * (b * b + d * d), s * (c * d - a * b)],
        [s * (b * d - a * c), s * (c * d + a * b), 1.0 - s * (b * b + c * c)],
    ];
    let scale = [spacing[0], spacing[1], spacing[2] * qfac];
    Some(std::array::from_fn(|row| {
        let r = rotation[row];
        [r[0] * scale[0], r[1] * scale[1], r[2] * scale[2], offset[row]]
    }))
}

/// nibabel's affine for files with neither sform nor qform: the first axis runs to the left, the centre of
/// the volume is the origin.
pub(super) fn base(shape: [usize; 3], spacing: [f64; 3]) -> Affine {
    let scale = [-spacing[0], spacing[1], spacing[2]];
    std::array::from_fn(|row| {
        let mut out = [0.0; 4];
        out[row] = scale[row];
        out[3] = -scale[row] * (shape[row] as f64 - 1.0) / 2.0;
        out
    })
}

/// The quaternion (b, c, d) and qfac of an affine, or `None` when its axes are not at right angles to the
/// precision of a 32-bit header, so that a qform could not describe it.
pub(super) fn to_quaternion(affine: &Affine) -> Option<([f64; 3], f64)> {
    let spacing = spacing_mm(affine);
    let qfac = if determinant(affine) < 0.0 { -1.0 } else { 1.0 };
    let axis = |i: usize, sign: f64| column(affine, i).map(|x| sign * x / spacing[i]);
    let (x, y, z) = (axis(0, 1.0), axis(1, 1.0), axis(2, qfac));
    let dot = |a: [f64; 3], b: [f64; 3]| a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
    if dot(x, y).abs().max(dot(y, z).abs()).max(dot(x, z).abs()) > 1e-5 {
        return None;
    }
    // m[row][column]; the largest of the four components is computed first, the others divide by it.
    let m: [[f64; 3]; 3] = std::array::from_fn(|row| [x[row], y[row], z[row]]);
    let squares = [
        1.0 + m[0][0] + m[1][1] + m[2][2],
        1.0 + m[0][0] - m[1][1] - m[2][2],
        1.0 - m[0][0] + m[1][1] - m[2][2],
        1.0 - m[0][0] - m[1][1] + m[2][2],
    ];
    let largest = (0..4).fold(0, |best, i| if squares[i] > squares[best] { i } else { best });
    let s = 2.0 * squares[largest].sqrt();
    let q = match largest {
        0 => [s / 4.0, (m[2][1] - m[1][2]) / s, (m[0][2] - m[2][0]) / s, (m[1][0] - m[0][1]) / s],
        1 => [(m[2][1] - m[1][2]) / s, s / 4.0, (m[0][1] + m[1][0]) / s, (m[0][2] + m[2][0]) / s],
        2 => [(m[0][2] - m[2][0]) / s, (m[0][1] + m[1][0]) / s, s / 4.0, (m[1][2] + m[2][1]) / s],
        _ => [(m[1][0] - m[0][1]) / s, (m[0][2] + m[2][0]) / s, (m[1][2] + m[2][1]) / s, s / 4.0],
    };
    // The reader takes the real part as positive.
    let sign = if q[0] < 0.0 { -1.0 } else { 1.0 };
    Some(([sign * q[1], sign * q[2], sign * q[3]], qfac))
}

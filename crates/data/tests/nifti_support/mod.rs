//! Files to read, and comparisons with nibabel's values.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;

/// The golden volume of `tools/golden/nifti.py`: 3 x 2 x 2, int16, slope 2, intercept 1, both forms.
pub(crate) fn base() -> Vec<u8> {
    include_bytes!("../golden/nifti/base.nii").to_vec()
}

/// Bytes to put at a position.
pub(crate) type Change = (usize, Vec<u8>);

/// A changed copy.
pub(crate) trait Patch {
    fn patch(self, change: Change) -> Self;
}

impl Patch for Vec<u8> {
    fn patch(mut self, (at, bytes): Change) -> Self {
        self[at..at + bytes.len()].copy_from_slice(&bytes);
        self
    }
}

pub(crate) fn put_i16(at: usize, value: i16) -> Change {
    (at, value.to_le_bytes().to_vec())
}

pub(crate) fn put_f32(at: usize, value: f32) -> Change {
    (at, value.to_le_bytes().to_vec())
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

pub(crate) fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut out).unwrap();
    out
}

/// Equal floats; NaN equals NaN.
pub(crate) fn same_values(a: &[f32], b: &[f32]) -> bool {
    a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x == y || (x.is_nan() && y.is_nan()))
}

/// Equal to 1e-6 of the entry's size: nibabel computes quaternions in 80 bits, and a rotation near 180
/// degrees loses half of the digits of its 32-bit components, in both.
pub(crate) fn affine_close(a: &[[f64; 4]; 3], b: &[[f64; 4]; 3]) -> bool {
    a.iter().flatten().zip(b.iter().flatten()).all(|(x, y)| (x - y).abs() <= 1e-6 * x.abs().max(1.0))
}

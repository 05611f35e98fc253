//! A volume in memory.

/// A scalar 3-D volume with its place in the scanner's coordinates.
#[derive(Clone, Debug, PartialEq)]
pub struct Volume {
    /// Extents along the three voxel axes; the first varies fastest in [`Self::voxels`].
    pub shape: [usize; 3],
    /// Rows of the affine that takes voxel indices to millimetres in RAS+ coordinates.
    pub affine: [[f64; 4]; 3],
    /// Distance between voxel centres along the three voxel axes, in millimetres.
    pub spacing_mm: [f64; 3],
    /// Scaled values (slope and intercept applied), first axis fastest.
    pub voxels: Vec<f32>,
}

impl Volume {
    /// A volume whose spacing follows from its affine.
    pub fn new(shape: [usize; 3], affine: [[f64; 4]; 3], voxels: Vec<f32>) -> Self {
        Self { shape, affine, spacing_mm: super::affine::spacing_mm(&affine), voxels }
    }

    /// How many voxels are NaN or infinite. The reader keeps such voxels, so that a check can count and
    /// report them; nothing that computes on a volume accepts them.
    pub fn non_finite_count(&self) -> usize {
        // An exponent of all ones; the sum over integers vectorises, a float comparison chain does not.
        self.voxels.iter().map(|v| usize::from(v.to_bits() & 0x7f80_0000 == 0x7f80_0000)).sum()
    }
}

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

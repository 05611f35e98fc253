//! Affine movements of images whose sides span [-1, 1]: matrices, and resampling by one matrix an image.

use tch::Tensor;

/// A 3x3 matrix on homogeneous image coordinates, where the image spans [-1, 1] in both directions.
pub type Matrix = [[f64; 3]; 3];

/// Nothing moves.
pub const IDENTITY: Matrix = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

/// Factors along x and y.
pub fn scaling(x: f64, y: f64) -> Matrix {
    [[x, 0.0, 0.0], [0.0, y, 0.0], [0.0, 0.0, 1.0]]
}

/// A turn by `angle` in radians, from x towards y.
pub fn rotation(angle: f64) -> Matrix {
    let (s, c) = angle.sin_cos();
    [[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]]
}

/// A shift; 2 is a whole side.
pub fn translation(x: f64, y: f64) -> Matrix {
    [[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]]
}

/// `a` after `b`.
pub fn product(a: Matrix, b: Matrix) -> Matrix {
    std::array::from_fn(|i| std::array::from_fn(|j| (0..3).map(|k| a[i][k] * b[k][j]).sum()))
}

/// Movements as [`resampled`] takes them, f32 `[n, 2, 3]` in the host's memory; none when nothing moves.
pub fn rows(movements: &[Matrix]) -> Option<Tensor> {
    if movements.iter().all(|&movement| movement == IDENTITY) {
        return None;
    }
    let rows = movements.iter().flat_map(|m| m[..2].iter().flatten().map(|&value| value as f32));
    Some(Tensor::from_slice(&rows.collect::<Vec<_>>()).view([-1, 2, 3]))
}

/// How values between pixels are found.
#[derive(Clone, Copy)]
pub enum Between {
    /// From the four pixels around.
    Bilinear = 0,
    /// From the nearest pixel.
    Nearest = 1,
}

/// What lies outside of an image.
#[derive(Clone, Copy)]
pub enum Outside {
    /// Zeros.
    Zeros = 0,
    /// The border's pixels, repeated.
    Border = 1,
}

/// Images f32 `[n, planes, h, w]`, each moved by one movement of `rows` on their device, which maps places of the result to
/// places of the source.
pub fn resampled(images: &Tensor, rows: &Tensor, between: Between, outside: Outside) -> Tensor {
    let grid = Tensor::affine_grid_generator(rows, images.size(), false);
    images.grid_sampler_2d(&grid, between as i64, outside as i64, false)
}

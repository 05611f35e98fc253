//! Pixelwise normalisation of feature vectors (Karras et al. 2018, section 4.2).

use tch::Tensor;

/// Divides the vector of every pixel (or row) by its root mean square: `[n, c, ...] -> [n, c, ...]`.
pub fn pixel_norm(x: &Tensor) -> Tensor {
    let power = x.square().mean_dim([1i64].as_slice(), true, x.kind());
    x * (power + 1e-8).rsqrt()
}

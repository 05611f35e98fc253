//! Rotation, scale and shift between a query and a real image, beyond what their poses say.
//!
//! A search along the four parameters with halving steps (Hooke and Jeeves, Direct search solution of numerical and
//! statistical problems, 1961), for all pairs at once, on the coarse grid.

use tch::{Device, Kind, Tensor};

use crate::detectors::{COARSE, correlations};
use crate::pose::{composed, dihedral_matrix, sampled};

/// Rounds of the search; the steps are halved after each.
const ROUNDS: usize = 5;
/// First steps: rotation in radians (7 degrees), logarithm of the scale, shift in half sides of the common frame.
const STEPS: [f64; 4] = [0.122, 0.06, 0.06, 0.06];

/// Queries and the real images that they are compared with, one row a pair.
pub(crate) struct Pairs {
    /// `[p, c, s, s]`.
    pub(crate) query: Tensor,
    /// From the common frame to the query, flips included: `[p, 2, 3]`.
    pub(crate) query_pose: Tensor,
    /// `[p, c, s, s]`.
    pub(crate) real: Tensor,
    /// `[p, 1, s, s]`.
    pub(crate) real_mask: Tensor,
    /// From the common frame to the real image: `[p, 2, 3]`.
    pub(crate) real_pose: Tensor,
    /// Whether a pair is judged by its most similar contrasts, bool `[p]`.
    pub(crate) by_one: Tensor,
}

/// Poses `[p, 2, 3]` after the flip or quarter turn of each row.
pub(crate) fn flipped(poses: &Tensor, codes: &[usize]) -> Tensor {
    let rows: Vec<f32> = codes
        .iter()
        .flat_map(|&code| {
            let [a, b, c, d] = dihedral_matrix(code);
            [a, b, 0.0, c, d, 0.0].map(|value| value as f32)
        })
        .collect();
    composed(poses, &Tensor::from_slice(&rows).view([-1, 2, 3]))
}

/// The maps from the common frame to the queries `[p, 2, 3]` under which each is most like its real image.
pub(crate) fn aligned(pairs: &Pairs) -> Tensor {
    let mask = sampled(&pairs.real_mask, &pairs.real_pose, COARSE).gt(0.5).to_kind(Kind::Float);
    let real = sampled(&pairs.real, &pairs.real_pose, COARSE);
    let n = pairs.real.size()[0];
    let likeness = |parameters: &Tensor| {
        let map = composed(&pairs.query_pose, &movement(parameters));
        let table = correlations(&sampled(&pairs.query, &map, COARSE), &real, &mask);
        let all = table.diagonal(0, 1, 2).mean_dim([1i64].as_slice(), false, Kind::Float);
        let one = table.abs().amax([1i64, 2].as_slice(), false);
        one.where_self(&pairs.by_one, &all)
    };
    let mut parameters = Tensor::zeros([n, 4], (Kind::Float, Device::Cpu));
    let mut best = likeness(&parameters);
    let mut scale = 1.0;
    for _ in 0..ROUNDS {
        for (axis, step) in STEPS.iter().enumerate() {
            for sign in [1.0, -1.0] {
                let tried = parameters.copy();
                let _ = tried.select(1, axis as i64).g_add_scalar_(sign * step * scale);
                let value = likeness(&tried);
                let better = value.gt_tensor(&best);
                parameters = tried.where_self(&better.unsqueeze(1), &parameters);
                best = best.maximum(&value);
            }
        }
        scale *= 0.5;
    }
    composed(&pairs.query_pose, &movement(&parameters))
}

/// Similarity transforms of (rotation, logarithm of scale, shift x, shift y): `[p, 4] -> [p, 2, 3]`.
fn movement(parameters: &Tensor) -> Tensor {
    let column = |i: i64| parameters.select(1, i);
    let scale = column(1).exp();
    let (cos, sin) = (column(0).cos() * &scale, column(0).sin() * &scale);
    let rows = [Tensor::stack(&[&cos, &-&sin, &column(2)], 1), Tensor::stack(&[&sin, &cos, &column(3)], 1)];
    Tensor::stack(&rows, 1)
}

//! Rotation, scale, shift, shear and aspect between a query and a real image, beyond what their poses say.
//!
//! A search along the six parameters with halving steps (Hooke and Jeeves, Direct search solution of numerical and
//! statistical problems, 1961), for all pairs at once, on the coarse grid.

use tch::{Device, Kind, Tensor};

use crate::detectors::{COARSE, with_standard};
use crate::pose::{composed, dihedral_matrix, sampled};

/// First steps: rotation in radians (7 degrees), logarithm of the scale, shift in half sides of the common frame, shear,
/// logarithm of the aspect.
const STEPS: [f64; 6] = [0.122, 0.06, 0.06, 0.06, 0.06, 0.06];
/// The parameters of a similarity transform come first.
pub(crate) const SIMILARITY: usize = 4;
/// All of them.
pub(crate) const AFFINE: usize = STEPS.len();

/// Queries that are compared with a real image each, one row a pair.
pub(crate) struct Pairs {
    /// `[p, c, s, s]`.
    query: Tensor,
    /// From the common frame to the query, flips included: `[p, 2, 3]`.
    query_pose: Tensor,
    /// Whether a pair is judged by its most similar contrasts, bool `[p]`.
    by_one: Tensor,
}

/// What queries are compared with, in the common frame on the coarse grid.
pub(crate) struct Targets {
    /// `[p, c, COARSE, COARSE]`, mean 0 and norm 1 inside the heads, 0 outside.
    pub(crate) images: Tensor,
    /// 1 inside the heads: `[p, 1, COARSE, COARSE]`.
    pub(crate) masks: Tensor,
}

/// Movements of queries `[p, AFFINE]`, and how alike each then is to its target `[p]`.
pub(crate) struct Aligned {
    pub(crate) movements: Tensor,
    pub(crate) likeness: Tensor,
}

impl Pairs {
    /// Pairs of queries `[p, c, s, s]` in poses `[p, 2, 3]`, flipped or turned by the code of each row.
    pub(crate) fn new(query: Tensor, poses: &Tensor, codes: &[usize], by_one: &[bool]) -> Self {
        let rows: Vec<f32> = codes
            .iter()
            .flat_map(|&code| {
                let [a, b, c, d] = dihedral_matrix(code);
                [a, b, 0.0, c, d, 0.0].map(|value| value as f32)
            })
            .collect();
        let query_pose = composed(poses, &Tensor::from_slice(&rows).view([-1, 2, 3]));
        Self { query, query_pose, by_one: Tensor::from_slice(by_one) }
    }

    /// Some of the rows.
    pub(crate) fn select(&self, rows: &Tensor) -> Self {
        let of = |x: &Tensor| x.index_select(0, rows);
        Self { query: of(&self.query), query_pose: of(&self.query_pose), by_one: of(&self.by_one) }
    }

    /// The queries as they look in the common frame after their movements: `[p, c, side, side]`.
    pub(crate) fn moved(&self, movements: &Tensor, side: i64) -> Tensor {
        sampled(&self.query, &composed(&self.query_pose, &affine(movements)), side)
    }

    /// No movement yet.
    pub(crate) fn start(&self, targets: &Targets) -> Aligned {
        let movements = Tensor::zeros([self.query.size()[0], AFFINE as i64], (Kind::Float, Device::Cpu));
        let likeness = self.likeness(targets, &movements);
        Aligned { movements, likeness }
    }

    /// How alike queries and targets are: the mean correlation of the contrasts, or the largest of any two of them: `[p]`.
    pub(crate) fn likeness(&self, targets: &Targets, movements: &Tensor) -> Tensor {
        let table = with_standard(&targets.images, &self.moved(movements, COARSE), &targets.masks);
        let all = table.diagonal(0, 1, 2).mean_dim([1i64].as_slice(), false, Kind::Float);
        let one = table.abs().amax([1i64, 2].as_slice(), false);
        one.where_self(&self.by_one, &all)
    }

    /// Improves the first `parameters` of the movements in `rounds`; steps begin at `scale` of the first ones and are halved
    /// after each round.
    pub(crate) fn align(
        &self,
        targets: &Targets,
        from: Aligned,
        parameters: usize,
        rounds: usize,
        mut scale: f64,
    ) -> Aligned {
        let Aligned { mut movements, mut likeness } = from;
        for _ in 0..rounds {
            for (axis, step) in STEPS.iter().take(parameters).enumerate() {
                for sign in [1.0, -1.0] {
                    let tried = movements.copy();
                    let _ = tried.select(1, axis as i64).g_add_scalar_(sign * step * scale);
                    let value = self.likeness(targets, &tried);
                    let better = value.gt_tensor(&likeness);
                    movements = tried.where_self(&better.unsqueeze(1), &movements);
                    likeness = likeness.maximum(&value);
                }
            }
            scale *= 0.5;
        }
        Aligned { movements, likeness }
    }
}

/// Affine maps of (rotation, logarithm of scale, shift x, shift y, shear, logarithm of aspect): `[p, 6] -> [p, 2, 3]`.
fn affine(parameters: &Tensor) -> Tensor {
    let column = |i: i64| parameters.select(1, i);
    let scale = column(1).exp();
    let (cos, sin) = (column(0).cos() * &scale, column(0).sin() * &scale);
    let rows = [Tensor::stack(&[&cos, &-&sin, &column(2)], 1), Tensor::stack(&[&sin, &cos, &column(3)], 1)];
    let (shear, none) = (column(4), column(4).zeros_like());
    let stretch = [
        Tensor::stack(&[&column(5).exp(), &shear, &none], 1),
        Tensor::stack(&[&shear, &(-column(5)).exp(), &none], 1),
    ];
    composed(&Tensor::stack(&rows, 1), &Tensor::stack(&stretch, 1))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::detectors::standardised;
    use crate::pose::{Turning, poses};

    /// Waves in a disc, seen through an affine map `[2, 3]`.
    fn picture(map: [f32; 6]) -> Tensor {
        let line = (Tensor::arange(96, (Kind::Float, Device::Cpu)) + 0.5) / 48.0 - 1.0;
        let (x, y) = (line.view([1, -1]), line.view([-1, 1]));
        let wave = |k: f64, l: f64| (&x * k + &y * l).sin();
        let planes = [wave(9.0, 4.0) + wave(-6.0, 11.0), wave(3.0, -8.0) + wave(13.0, 2.0)];
        let disc = (x.square() * 1.6 + y.square()).lt(0.4).to_kind(Kind::Float);
        let image = (Tensor::stack(&planes, 0) * 40.0 + 120.0) * disc;
        sampled(&image.unsqueeze(0), &Tensor::from_slice(&map).view([1, 2, 3]), 96)
    }

    #[test]
    fn a_turned_enlarged_and_sheared_picture_is_brought_back() {
        let mask = |x: &Tensor| x.amax([1i64].as_slice(), true).gt(1.0).to_kind(Kind::Float);
        let real = picture([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]);
        let pose = poses(&mask(&real), Turning::Upright);
        let masks = sampled(&mask(&real), &pose, COARSE).gt(0.5).to_kind(Kind::Float);
        let images = standardised(&sampled(&real, &pose, COARSE), &masks);
        let targets = Targets { images, masks };
        let moved = picture([1.05, 0.18, 0.02, -0.02, 0.98, -0.03]);
        let pose = poses(&mask(&moved), Turning::Upright);
        let pairs = Pairs::new(moved, &pose, &[0], &[false]);
        let start = pairs.start(&targets);
        let before = start.likeness.double_value(&[0]);
        let similar = pairs.align(&targets, start, SIMILARITY, 4, 1.0);
        let turned = similar.likeness.double_value(&[0]);
        let affine = pairs.align(&targets, similar, AFFINE, 5, 0.5).likeness.double_value(&[0]);
        assert!(before < 0.9 && turned > before && affine > 0.97, "{before} {turned} {affine}");
    }
}

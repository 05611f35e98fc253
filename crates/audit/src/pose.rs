//! Where a head lies in its image, and images sampled in a common frame.
//!
//! Position, size and direction come from the moments of the foreground (Hu, Visual pattern recognition by moment
//! invariants, 1962). Two images that differ by a shift, a rotation and a scale have the same content in that frame, up to
//! the eight flips and quarter turns, which are searched. Points are `(x, y)` in [-1, 1], as libtorch's grids have them.

use tch::{Device, Kind, Tensor};

/// Half the side of the common frame, in root mean squared radii of the foreground: an ellipse of aspect 1.4 fits in.
const COVER: f64 = 1.75;

/// Whether images are turned by their own direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Turning {
    /// They keep their direction: round heads have none.
    Upright,
    /// The longest axis lies along x.
    Principal,
}

/// Both ways to place images; each is searched.
pub const TURNINGS: [Turning; 2] = [Turning::Upright, Turning::Principal];

/// Number of flips and quarter turns.
pub const DIHEDRAL: usize = 8;

/// From the common frame to the image: affine `[n, 2, 3]`, from a foreground `[n, 1, s, s]`. An image without foreground
/// is taken as it is.
pub fn poses(mask: &Tensor, turning: Turning) -> Tensor {
    let (n, side) = (mask.size()[0], mask.size()[2]);
    let line = (Tensor::arange(side, (Kind::Float, Device::Cpu)) + 0.5) * (2.0 / side as f64) - 1.0;
    let (x, y) = (line.view([1, 1, 1, side]), line.view([1, 1, side, 1]));
    let area = mask.sum_dim_intlist([1i64, 2, 3].as_slice(), true, Kind::Float);
    let empty = area.lt(1.0).to_kind(Kind::Float).view([n]);
    let area = area.clamp_min(1.0);
    let mean =
        |values: &Tensor| (mask * values).sum_dim_intlist([1i64, 2, 3].as_slice(), true, Kind::Float) / &area;
    let (cx, cy) = (mean(&x), mean(&y));
    let (dx, dy) = (&x - &cx, &y - &cy);
    let (xx, yy, xy) = (mean(&(&dx * &dx)), mean(&(&dy * &dy)), mean(&(&dx * &dy)));
    let whole = 1.0 - &empty;
    let scale = (&xx + &yy).sqrt().view([n]) * COVER * &whole + &empty;
    let angle = match turning {
        Turning::Upright => Tensor::zeros([n], (Kind::Float, Device::Cpu)),
        Turning::Principal => (xy * 2.0).atan2(&(xx - yy)).view([n]) * 0.5 * &whole,
    };
    let (cos, sin) = (angle.cos() * &scale, angle.sin() * &scale);
    let (cx, cy) = (cx.view([n]) * &whole, cy.view([n]) * &whole);
    Tensor::stack(&[Tensor::stack(&[&cos, &-&sin, &cx], 1), Tensor::stack(&[&sin, &cos, &cy], 1)], 1)
}

/// Flip or quarter turn `code` (below [`DIHEDRAL`]) of squares `[n, c, s, s]`.
pub fn dihedral(x: &Tensor, code: usize) -> Tensor {
    let x = if code & 4 != 0 { x.transpose(2, 3) } else { x.shallow_clone() };
    match code & 3 {
        0 => x,
        1 => x.flip([3]),
        2 => x.flip([2]),
        _ => x.flip([2, 3]),
    }
}

/// The matrix by which [`dihedral`] moves points, row by row: the result at `p` shows the square at `D p`.
pub fn dihedral_matrix(code: usize) -> [f64; 4] {
    let flip = |bit: usize| if code & bit != 0 { -1.0 } else { 1.0 };
    let (x, y) = (flip(1), flip(2));
    if code & 4 != 0 { [0.0, y, x, 0.0] } else { [x, 0.0, 0.0, y] }
}

/// `outer` after `inner`, both affine `[n, 2, 3]`.
pub fn composed(outer: &Tensor, inner: &Tensor) -> Tensor {
    let linear = outer.narrow(2, 0, 2);
    let moved = linear.matmul(&inner.narrow(2, 0, 2));
    let shift = linear.matmul(&inner.narrow(2, 2, 1)) + outer.narrow(2, 2, 1);
    Tensor::cat(&[moved, shift], 2)
}

/// Images `[n, c, s, s]` seen through affine maps `[n, 2, 3]` on a grid of `side`: `[n, c, side, side]`, zero outside.
/// Images with more pixels than the grid are averaged first.
pub fn sampled(images: &Tensor, maps: &Tensor, side: i64) -> Tensor {
    let (n, c) = (images.size()[0], images.size()[1]);
    let grid = Tensor::affine_grid_generator(maps, [n, c, side, side], false);
    images.grid_sampler(&grid, 0, 0, false)
}

/// Images `[n, c, s, s]` averaged over whole blocks to a side of at least `side`, if they have as much.
pub fn reduced(images: &Tensor, side: i64) -> Tensor {
    let factor = images.size()[2] / side;
    if factor < 2 {
        return images.shallow_clone();
    }
    images.avg_pool2d([factor, factor], [factor, factor], [0, 0], false, true, None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn blob() -> Tensor {
        let x = Tensor::zeros([1, 1, 48, 48], (Kind::Float, Device::Cpu));
        let _ = x.narrow(2, 14, 14).narrow(3, 10, 24).fill_(1.0);
        let _ = x.narrow(2, 14, 5).narrow(3, 12, 6).fill_(2.0);
        x
    }

    #[test]
    fn a_matrix_moves_points_as_the_flip_moves_pixels() {
        let x = blob();
        for code in 0..DIHEDRAL {
            let m = dihedral_matrix(code).map(|value| value as f32);
            let map = Tensor::from_slice(&[m[0], m[1], 0.0, m[2], m[3], 0.0]).view([1, 2, 3]);
            let error = (sampled(&x, &map, 48) - dihedral(&x, code)).abs().max().double_value(&[]);
            assert!(error < 1e-4, "code {code}: {error}");
        }
    }

    #[test]
    fn the_frame_follows_shift_scale_and_rotation() {
        let x = blob();
        let (sin, cos) = (25f64.to_radians().sin() * 1.2, 25f64.to_radians().cos() * 1.2);
        let map = [cos, -sin, 0.1, sin, cos, -0.08].map(|value| value as f32);
        let moved = sampled(&x, &Tensor::from_slice(&map).view([1, 2, 3]), 48);
        let seen = |x: &Tensor| {
            let mask = x.gt(0.5).to_kind(Kind::Float);
            sampled(x, &poses(&mask, Turning::Principal), 32)
        };
        let (a, b) = (seen(&x), seen(&moved));
        let nearest = (0..DIHEDRAL)
            .map(|code| (&a - dihedral(&b, code)).abs().mean(Kind::Float).double_value(&[]))
            .fold(f64::INFINITY, f64::min);
        assert!(nearest < 0.05, "{nearest}");
        let empty = poses(&Tensor::zeros([1, 1, 8, 8], (Kind::Float, Device::Cpu)), Turning::Principal);
        let identity = Tensor::from_slice(&[1f32, 0.0, 0.0, 0.0, 1.0, 0.0]).view([1, 2, 3]);
        assert!((empty - identity).abs().max().double_value(&[]) < 1e-6);
    }
}

//! The pose of a head in an image, from its moments (Hu, "Visual pattern recognition by moment invariants", IRE
//! Transactions on Information Theory 8, 1962): an image that was shifted, turned, mirrored or enlarged as a whole comes
//! back in the same pose, as long as all of the head is in view.

use tch::{Kind, Tensor};

/// Radius that a head's area is given, where half a side is 1.
const RADIUS: f64 = 0.75;
/// Pixels are of the head above this share of the image's bright pixels.
const THRESHOLD: f64 = 0.3;
/// What counts as bright: this quantile of the pixels.
const BRIGHT: f64 = 0.9;
/// Least area of a head, as a share of the image: below it there is nothing to go by.
const LEAST_AREA: f64 = 0.01;

/// Images `[n, c, side, side]` with their heads in the middle, of one size, the longer axis upright, the heavier ends at
/// the same sides; as distances from the level of their borders, so that inverted images are no others.
///
/// Which end is the heavier one is a close call for heads that are nearly symmetric. `look` mirrors the result across
/// (-1 in the first place) or along (in the second): among the four looks is the pose of the same head however it was moved.
pub fn canonical(images: &Tensor, look: [f64; 2]) -> Tensor {
    tch::no_grad(|| {
        let (shape, background) = head(images);
        let rows = Moments::of(&shape).rows(look);
        let grid = Tensor::affine_grid_generator(&rows, images.size(), false);
        (images - background).abs().grid_sampler_2d(&grid, 0, 0, false)
    })
}

/// How much each pixel is of the head, `[n, side, side]` in [0, 1], and the level around it in each contrast `[n, c, 1, 1]`.
/// The head is what differs from the border, brighter or darker, in any contrast.
fn head(images: &Tensor) -> (Tensor, Tensor) {
    let side = images.size()[3];
    let edges = [
        images.narrow(2, 0, 1).flatten(2, -1),
        images.narrow(2, side - 1, 1).flatten(2, -1),
        images.narrow(3, 0, 1).flatten(2, -1),
        images.narrow(3, side - 1, 1).flatten(2, -1),
    ];
    let background = Tensor::cat(&edges, 2).median_dim(2, true).0.unsqueeze(-1);
    let difference = (images - &background).abs().amax([1i64].as_slice(), true);
    // Noise is taken out before anything is compared with it.
    let smooth = |x: &Tensor| x.avg_pool2d([3, 3], [1, 1], [1, 1], false, false, None);
    let difference = smooth(&smooth(&difference)).squeeze_dim(1);
    let bright = difference.flatten(1, -1).quantile_scalar(BRIGHT, Some(1), true, "linear").unsqueeze(-1);
    let relative = difference / bright.clamp_min(1e-3);
    ((relative / THRESHOLD - 0.5).clamp(0.0, 1.0), background)
}

/// Moments of heads, each `[n]`; coordinates are those of images that span [-1, 1].
struct Moments {
    centre: [Tensor; 2],
    /// Angle of the longer axis from the vertical one.
    angle: Tensor,
    /// Factor from the canonical size to that of the head.
    scale: Tensor,
    /// 1 or -1: towards which end the head is heavier, across and along the longer axis.
    signs: [Tensor; 2],
}

impl Moments {
    fn of(shape: &Tensor) -> Self {
        let side = shape.size()[2];
        let axis = (Tensor::arange(side, (Kind::Float, shape.device())) + 0.5) * (2.0 / side as f64) - 1.0;
        let (y, x) = (axis.view([1, side, 1]), axis.view([1, 1, side]));
        let total = sum(shape).clamp_min(LEAST_AREA * (side * side) as f64);
        let mean = |values: &Tensor| sum(&(shape * values)) / &total;
        let column = |values: &Tensor| values.view([-1, 1, 1]);
        let centre = [mean(&x), mean(&y)];
        let (dx, dy) = (&x - column(&centre[0]), &y - column(&centre[1]));
        let (xx, yy, xy) = (mean(&dx.square()), mean(&dy.square()), mean(&(&dx * &dy)));
        // The direction of the larger variance, as a turn from the vertical.
        let angle = (xy * -2.0).atan2(&(yy - xx)) * 0.5;
        let (cos, sin) = (column(&angle.cos()), column(&angle.sin()));
        let (across, along) = (&dx * &cos + &dy * &sin, &dy * &cos - &dx * &sin);
        let sign = |values: &Tensor| {
            let skew = mean(&values.pow_tensor_scalar(3.0));
            skew.ge(0.0).to_kind(Kind::Float) * 2.0 - 1.0
        };
        let signs = [sign(&across), sign(&along)];
        // An area of pixels is `4 / side^2` each.
        let scale = (total * (4.0 / (side * side) as f64 / std::f64::consts::PI)).sqrt() / RADIUS;
        Self { centre, angle, scale, signs }
    }

    /// Movements f32 `[n, 2, 3]` from places of the canonical image to places of the source.
    fn rows(&self, look: [f64; 2]) -> Tensor {
        let (cos, sin) = (self.angle.cos() * &self.scale, self.angle.sin() * &self.scale);
        let [across, along] = [&self.signs[0] * look[0], &self.signs[1] * look[1]];
        let row = |a: Tensor, b: Tensor, c: &Tensor| Tensor::stack(&[a, b, c.shallow_clone()], 1);
        let x = row(&cos * &across, -&sin * &along, &self.centre[0]);
        let y = row(&sin * across, &cos * along, &self.centre[1]);
        Tensor::stack(&[x, y], 1)
    }
}

/// Sums `[n]` over the pixels of `[n, side, side]`.
fn sum(x: &Tensor) -> Tensor {
    x.sum_dim_intlist([1i64, 2].as_slice(), false, Kind::Float)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::affine::{Between, Outside, product, resampled, rotation, rows, scaling, translation};
    use tch::Device;

    const AS_IS: [f64; 2] = [1.0, 1.0];

    /// An egg with an eye: no symmetry, longer than wide.
    fn example() -> Tensor {
        let axis = (Tensor::arange(64, (Kind::Float, Device::Cpu)) + 0.5) / 32.0 - 1.0;
        let (y, x) = (axis.view([64, 1]), axis.view([1, 64]));
        let width: Tensor = (&y * 0.15 + 0.4) - &x * 0.0;
        let inside = ((&x / &width).square() + (&y / 0.6).square()).lt(1.0).to_kind(Kind::Float);
        let ear = ((&x - 0.35).square() + (&y - 0.1).square()).lt(0.02).to_kind(Kind::Float);
        let eye = ((&x + 0.1).square() + (&y - 0.2).square()).lt(0.02).to_kind(Kind::Float);
        (inside.maximum(&ear) * 0.6 + eye * 0.3).view([1, 1, 64, 64])
    }

    fn correlation(a: &Tensor, b: &Tensor) -> f64 {
        Tensor::stack(&[a.flatten(0, -1), b.flatten(0, -1)], 0).corrcoef().double_value(&[0, 1])
    }

    #[test]
    fn an_image_that_was_moved_comes_back_in_the_same_pose() {
        let image = example();
        let pose = canonical(&image, AS_IS);
        for (name, movement) in [
            ("shifted", translation(0.2, -0.15)),
            ("turned", rotation(0.6)),
            ("turned far", rotation(2.4)),
            ("mirrored", scaling(-1.0, 1.0)),
            ("smaller", scaling(1.25, 1.25)),
            ("all", product(product(rotation(-1.2), scaling(0.9, -0.9)), translation(0.1, 0.1))),
        ] {
            let Some(movement) = rows(&[movement]) else { panic!("{name} moves") };
            let moved = resampled(&image, &movement, Between::Bilinear, Outside::Zeros);
            let found = correlation(&canonical(&moved, AS_IS), &pose);
            assert!(found > 0.95 && found > correlation(&moved, &image), "{name}: {found}");
        }
        let look = canonical(&image, [-1.0, 1.0]);
        assert!((look.flip([3]) - &pose).abs().max().double_value(&[]) < 1e-5);
        let inverted: Tensor = 1.0 - image;
        assert!((canonical(&inverted, AS_IS) - pose).abs().max().double_value(&[]) < 1e-5);
    }

    #[test]
    fn an_empty_image_stays_one() {
        let empty = Tensor::zeros([2, 3, 32, 32], (Kind::Float, Device::Cpu)) + 0.5;
        assert_eq!(canonical(&empty, AS_IS), empty.zeros_like());
    }
}

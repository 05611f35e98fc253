//! Signed distances (negative inside, millimetres) to the solids that the phantom is built of.

use super::noise::{Point, dot, minus, norm};

/// An ellipsoid with its axes along the coordinates; the distance is exact to first order at the surface.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ellipsoid {
    pub(super) centre: Point,
    pub(super) radii: Point,
}

impl Ellipsoid {
    pub(super) const fn new(centre: Point, radii: Point) -> Self {
        Self { centre, radii }
    }

    /// Distance from the centre in units of the radius in that direction: 1 on the surface.
    pub(super) fn level(&self, p: Point) -> f64 {
        norm(self.scaled(p, 1))
    }

    pub(super) fn distance(&self, p: Point) -> f64 {
        let (k0, k1) = (norm(self.scaled(p, 1)), norm(self.scaled(p, 2)));
        let smallest = self.radii.into_iter().fold(f64::INFINITY, f64::min);
        if k1 < 1e-9 { -smallest } else { k0 * (k0 - 1.0) / k1 }
    }

    fn scaled(&self, p: Point, power: i32) -> Point {
        let d = minus(p, self.centre);
        std::array::from_fn(|axis| d[axis] / self.radii[axis].powi(power))
    }
}

/// Distance to a tube from `a` to `b` whose radius goes from `radii[0]` to `radii[1]`.
pub(super) fn tube(p: Point, a: Point, b: Point, radii: [f64; 2]) -> f64 {
    let (ap, ab) = (minus(p, a), minus(b, a));
    let t = (dot(ap, ab) / dot(ab, ab)).clamp(0.0, 1.0);
    norm(minus(ap, ab.map(|x| x * t))) - (radii[0] + t * (radii[1] - radii[0]))
}

/// The union of two solids with a fillet of about `k` millimetres.
pub(super) fn join(a: f64, b: f64, k: f64) -> f64 {
    let h = (0.5 + 0.5 * (b - a) / k).clamp(0.0, 1.0);
    b + (a - b) * h - k * h * (1.0 - h)
}

/// The intersection of two solids with an edge rounded over about `k` millimetres.
pub(super) fn meet(a: f64, b: f64, k: f64) -> f64 {
    -join(-a, -b, k)
}

//! Tumours: a necrotic or solid core, an enhancing rim, oedema around it, and the anatomy they push aside.

use synthmr_core::random::Draw;

use super::anatomy::Anatomy;
use super::noise::{Field, Point, minus, norm, step};

/// Distance that a tumour keeps from the edge of the brain, in half edge widths: more than a voxel's diagonal.
const MARGIN: f64 = 3.6;

/// One tumour.
#[derive(Clone, Debug)]
pub(super) struct Lesion {
    centre: Point,
    /// Radius of the core with its rim, mm.
    radius_mm: f64,
    /// Thickness of the rim, mm; none without enhancement.
    rim_mm: Option<f64>,
    /// Radius of the oedema, mm.
    oedema_mm: f64,
    /// How much longer the tumour is along each axis.
    stretch: Point,
    /// Share by which the tissue in its place has moved away.
    mass_effect: f64,
    shape: Field,
    rim: Field,
    finger: Field,
}

/// Shares of a voxel that a tumour takes; the rest is what the anatomy has there.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct LesionShares {
    pub(super) necrosis: f64,
    pub(super) solid: f64,
    pub(super) enhancing: f64,
    pub(super) oedema: f64,
}

impl Lesion {
    /// Draws a tumour in a hemisphere; without enhancement its core is solid instead of necrotic.
    pub(super) fn draw(random: &mut impl Draw, enhancing: bool) -> Self {
        let side = if random.chance(0.5) { 1.0 } else { -1.0 };
        let mut place = || {
            [
                side * random.uniform_in(22.0, 40.0),
                random.uniform_in(-45.0, 52.0),
                random.uniform_in(-2.0, 44.0),
            ]
        };
        // A tumour has room on all sides. Almost every second place is deep enough, so this ends at once.
        let mut centre = place();
        while Anatomy::freedom(centre) < 1.0 {
            centre = place();
        }
        let radius_mm = random.uniform_in(16.0, 22.0);
        let rim_mm = enhancing.then(|| radius_mm * random.uniform_in(0.28, 0.37));
        Self {
            centre,
            radius_mm,
            rim_mm,
            oedema_mm: radius_mm + random.uniform_in(6.0, 11.0),
            stretch: [0.0; 3].map(|_: f64| random.uniform_in(0.82, 1.22)),
            mass_effect: random.uniform_in(0.12, 0.4),
            shape: Field::draw(random, 14, 22.0, 60.0),
            rim: Field::draw(random, 12, 16.0, 40.0),
            finger: Field::draw(random, 14, 18.0, 45.0),
        }
    }

    /// Where the tissue that is now at `p` was before the tumour grew; `freedom` is 0 where bone holds it and
    /// 1 where it can move.
    pub(super) fn before(&self, p: Point, freedom: f64) -> Point {
        let d = minus(p, self.centre);
        let share = freedom * self.mass_effect * (-(norm(d) / (1.7 * self.radius_mm)).powi(2)).exp();
        std::array::from_fn(|axis| p[axis] - d[axis] * share)
    }

    /// What the tumour takes of a voxel at `p`, `depth_mm` below the brain's edge, whose anatomy is fluid by
    /// `csf` and cortex by `cortex`. `softness` is half the width of an edge, mm.
    pub(super) fn shares(
        &self,
        p: Point,
        depth_mm: f64,
        csf: f64,
        cortex: f64,
        softness: f64,
    ) -> LesionShares {
        let d = minus(p, self.centre);
        let radius = norm(std::array::from_fn(|axis| d[axis] / self.stretch[axis]));
        if radius > 1.5 * self.oedema_mm {
            return LesionShares::default();
        }
        let inside = step(depth_mm - MARGIN * softness, 1.0);
        let bump = self.shape.at(p);
        let core_edge = radius - self.radius_mm - 2.6 * bump;
        let core = inside * (1.0 - step(core_edge, softness));
        let oedema_edge = radius - self.oedema_mm - 1.5 * bump - 5.0 * self.finger.at(p);
        // Oedema spreads along white matter, little into cortex, and not into fluid.
        let passable = (1.0 - csf) * (1.0 - 0.6 * cortex);
        let oedema = inside * (1.0 - core) * passable * (1.0 - step(oedema_edge, 1.0 + softness));
        let Some(rim_mm) = self.rim_mm else {
            return LesionShares { solid: core, oedema, ..LesionShares::default() };
        };
        let centre = 1.0 - step(core_edge + rim_mm + 1.4 * self.rim.at(p), softness);
        LesionShares { necrosis: core * centre, enhancing: core * (1.0 - centre), oedema, solid: 0.0 }
    }
}

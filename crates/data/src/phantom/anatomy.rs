//! The shared template: a brain of ellipsoids, tubes and folded sheets, in millimetres around its centre.
//!
//! Coordinates are LPS: x to the left, y to posterior, z up; the origin lies between the thalami. Cortex is
//! the neighbourhood of the pial surface, which is the hull of the hemispheres and the *sheets* that cut into
//! it: the sulci (zero level of a band-limited random field, extended inwards along the radius), the midline
//! between the hemispheres and the Sylvian fissures. What lies deeper is white matter, except the ventricles
//! and the deep nuclei.

use synthmr_core::random::{Draw, Stream, rng};

use super::noise::{Field, Point, norm, step};
use super::shapes::{Ellipsoid, join, meet, tube};

/// The template is the same for every seed: people are, too.
const TEMPLATE_SEED: u64 = 0;

const CEREBRUM: Ellipsoid = Ellipsoid::new([0.0, 3.0, 13.0], [66.0, 84.0, 60.0]);
/// Base of the frontal and occipital lobes below the origin, mm, and how much it falls towards posterior.
const BASE_MM: f64 = -18.0;
const BASE_SLOPE: f64 = 0.12;
/// All of the head's contents lies inside, with room for deformation.
const BOUNDS: Ellipsoid = Ellipsoid::new([0.0, 2.0, 2.0], [82.0, 102.0, 92.0]);
const TEMPORAL: Ellipsoid = Ellipsoid::new([42.0, -4.0, -22.0], [23.0, 40.0, 21.0]);
const CEREBELLUM: Ellipsoid = Ellipsoid::new([21.0, 48.0, -39.0], [30.0, 29.0, 25.0]);
/// Fillet between the temporal lobes and the rest, mm.
const LOBES_MM: f64 = 7.0;
/// Where the hemispheres are joined: callosum, thalami, basal forebrain.
const MIDLINE_CORE: Ellipsoid = Ellipsoid::new([0.0, 2.0, 2.0], [30.0, 34.0, 26.0]);
const CAUDATE: Ellipsoid = Ellipsoid::new([15.0, -22.0, 9.0], [5.5, 12.0, 9.0]);
const PUTAMEN: Ellipsoid = Ellipsoid::new([27.0, -4.0, 2.0], [6.0, 16.0, 10.0]);
const THALAMUS: Ellipsoid = Ellipsoid::new([11.0, 13.0, 5.0], [8.0, 13.0, 8.5]);

/// Layer of fluid between the brain's parts and the edge of the skull-stripped image, mm.
const FLUID_MM: f64 = 1.6;
/// Thickness of the cortex, mm.
const CORTEX_MM: f64 = 3.4;
/// Half the width and the depth of the sagittal sinus, mm.
const SINUS_MM: [f64; 2] = [3.2, 7.0];
/// How far sulci wind to either side, mm.
const WINDING_MM: f64 = 2.2;
/// Wave lengths of the folding field, mm: a gyrus is half a wave.
const FOLD_MM: [f64; 2] = [17.0, 25.0];

/// What varies between people apart from the deformation of space.
#[derive(Clone, Debug)]
pub(super) struct Anatomy {
    /// Sulci.
    folds: Field,
    /// How sulci wind instead of running straight inwards.
    winding: [Field; 3],
    /// Depth of the sulci.
    depth: Field,
    /// How much grey matter is mixed into the white.
    texture: Field,
    /// Half the width of an open sulcus, mm.
    sulcus_mm: f64,
    /// Added to the radius of the ventricles, mm.
    ventricle_mm: f64,
}

/// Shares of a voxel; they sum to 1 inside the brain.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Shares {
    pub(super) csf: f64,
    pub(super) cortex: f64,
    pub(super) white: f64,
    pub(super) deep_grey: f64,
    pub(super) vessel: f64,
}

/// A place in the template.
#[derive(Clone, Copy, Debug)]
pub(super) struct Site {
    /// Distance to the edge of the skull-stripped image, mm; positive inside.
    pub(super) depth_mm: f64,
    /// What is there.
    pub(super) shares: Shares,
}

impl Anatomy {
    /// True where there can be nothing.
    pub(super) fn is_outside(p: Point) -> bool {
        BOUNDS.level(p) > 1.0
    }

    /// How far a point is from the skull: 0 at the edge of the hemispheres and outside, 1 well inside.
    pub(super) fn freedom(p: Point) -> f64 {
        ((1.0 - CEREBRUM.level(p)) / 0.3).clamp(0.0, 1.0)
    }

    /// Draws a person: the template with folds, fluid spaces and their widths varied.
    pub(super) fn draw(random: &mut impl Draw, fold_radians: f64) -> Self {
        let mut template = rng(TEMPLATE_SEED, Stream::PhantomAnatomy, u64::MAX);
        let folds = Field::draw(&mut template, 28, FOLD_MM[0], FOLD_MM[1]);
        let winding = [0; 3].map(|_: i32| Field::draw(&mut template, 6, 24.0, 45.0));
        let depth = Field::draw(&mut template, 8, 50.0, 80.0);
        let texture = Field::draw(&mut template, 10, 18.0, 45.0);
        // Older brains have wide sulci and wide ventricles.
        let age = random.uniform();
        Self {
            folds: folds.varied(random, fold_radians),
            winding,
            depth: depth.varied(random, fold_radians),
            texture: texture.varied(random, fold_radians),
            sulcus_mm: 0.55 + 0.3 * age,
            ventricle_mm: -0.5 + 1.4 * (0.6 * age + 0.4 * random.uniform()),
        }
    }

    /// What the template has at `p`; `softness` is half the width of an edge, mm (half a voxel).
    pub(super) fn site(&self, p: Point, softness: f64) -> Option<Site> {
        // Left and right differ in the field and in the deformation; the solids are mirrored.
        let m = [p[0].abs(), p[1], p[2]];
        let upper = meet(CEREBRUM.distance(p), BASE_MM - BASE_SLOPE * p[1] - p[2], 10.0);
        let cerebrum = join(upper, TEMPORAL.distance(m), LOBES_MM);
        let cerebellum = CEREBELLUM.distance(m);
        let stem = tube(p, [0.0, 12.0, -8.0], [0.0, 25.0, -75.0], [15.0, 10.0]);
        let hull = join(join(cerebrum, cerebellum, 9.0), stem, 9.0) - FLUID_MM;
        if hull > softness {
            return None;
        }
        let edge = |distance: f64| 1.0 - step(distance, softness);
        let mut shares = self.cerebrum(p, m, -cerebrum, softness);
        // The cerebellum takes the place of what the cerebrum has there, with a cleft between them.
        if cerebellum < FLUID_MM + softness {
            shares = mix(shares, FLUID, edge(cerebellum - FLUID_MM));
            shares = mix(shares, self.folia(p, m, -cerebellum, softness), edge(cerebellum));
        }
        shares = mix(shares, STEM, edge(stem.max(p[2] + 6.0)));
        let fourth = tube(p, [0.0, 33.0, -34.0], [0.0, 36.0, -50.0], [3.5, 2.0]) - 0.5 * self.ventricle_mm;
        shares = mix(shares, FLUID, edge(fourth));
        // The sagittal sinus runs along the edge of the midline, from the forehead over the top to the back.
        let sinus = (m[0] - SINUS_MM[0]).max(-hull - SINUS_MM[1]).max(-6.0 - p[2]);
        shares = mix(shares, VESSEL, edge(sinus));
        Some(Site { depth_mm: -hull, shares })
    }

    /// Cortex, white matter, nuclei and ventricles; `depth` below the surface of the hemispheres, mm.
    fn cerebrum(&self, p: Point, m: Point, depth: f64, softness: f64) -> Shares {
        // Sulci cut in from the sides and the top. Measured from the base they would meet in the middle.
        let sides = join(CEREBRUM.distance(p), TEMPORAL.distance(m), LOBES_MM);
        let pial = self.sulcus_distance(p, -sides).min(self.fissure_distance(m)).min(depth + self.sulcus_mm);
        let edge = |distance: f64| 1.0 - step(distance, softness);
        let outside = edge(pial - self.sulcus_mm);
        let cortex = edge(pial - self.sulcus_mm - CORTEX_MM);
        let grey_share = 0.2 * (1.0 + self.texture.at(p)).clamp(0.0, 2.0);
        let white = 1.0 - cortex;
        let mut shares = Shares {
            csf: outside,
            cortex: cortex - outside,
            white: white * (1.0 - grey_share),
            deep_grey: white * grey_share,
            vessel: 0.0,
        };
        let nuclei = CAUDATE.distance(m).min(PUTAMEN.distance(m)).min(THALAMUS.distance(m));
        shares = mix(shares, DEEP_GREY, edge(nuclei));
        shares = mix(shares, FLUID, edge(self.ventricle_distance(m)));
        let plexus = tube(m, [15.0, 22.0, 13.0], [21.0, 36.0, 9.0], [1.6, 2.4]);
        mix(shares, VESSEL, 0.8 * edge(plexus))
    }

    /// Distance to the nearest sulcus, mm.
    fn sulcus_distance(&self, p: Point, depth: f64) -> f64 {
        let level = CEREBRUM.level(p).max(0.05);
        let surface =
            std::array::from_fn(|axis| CEREBRUM.centre[axis] + (p[axis] - CEREBRUM.centre[axis]) / level);
        let bottom = 19.0 + 5.0 * self.depth.at(surface);
        if depth > bottom + 2.0 * CORTEX_MM + 2.0 {
            return f64::INFINITY;
        }
        let wound = std::array::from_fn(|axis| surface[axis] + WINDING_MM * self.winding[axis].at(p));
        let (value, gradient) = self.folds.with_gradient(wound);
        // To first order the zero level is |value| / |gradient| away; the floor keeps saddle points finite.
        let sideways = level * value.abs() / (norm(gradient).powi(2) + 0.004).sqrt();
        sideways.hypot((depth - bottom).max(0.0))
    }

    /// Distance to the fissure between the hemispheres or to the Sylvian fissure, mm.
    fn fissure_distance(&self, m: Point) -> f64 {
        let midline = m[0].hypot((-MIDLINE_CORE.distance(m)).max(0.0));
        let sylvian_z = -6.0 + 0.28 * (m[1] + 5.0);
        let beyond = (34.0 - m[0]).max(0.0).hypot(((m[1] - 2.0).abs() - 26.0).max(0.0));
        let sylvian = ((m[2] - sylvian_z).hypot(beyond) - 1.0).max(0.0);
        midline.min(sylvian)
    }

    /// Signed distance to the lateral and third ventricles, mm.
    fn ventricle_distance(&self, m: Point) -> f64 {
        let horn = tube(m, [11.0, -34.0, 8.0], [9.0, -8.0, 19.0], [5.0, 5.6]);
        let body = tube(m, [9.0, -8.0, 19.0], [19.0, 30.0, 13.0], [5.6, 6.6]);
        let back = tube(m, [19.0, 30.0, 13.0], [23.0, 54.0, 6.0], [6.6, 3.0]);
        let temporal = tube(m, [19.0, 30.0, 13.0], [34.0, 2.0, -18.0], [3.6, 1.6]);
        let lateral = join(join(horn, body, 3.0), join(back, temporal, 2.0), 3.0) - self.ventricle_mm;
        let third = tube([0.0, m[1], m[2]], [0.0, -6.0, -2.0], [0.0, 16.0, 1.0], [7.0, 6.0])
            .max(m[0] - 1.8 - 0.5 * self.ventricle_mm);
        lateral.min(third)
    }

    /// Cerebellum: a core of white matter below leaves of cortex.
    fn folia(&self, p: Point, m: Point, depth: f64, softness: f64) -> Shares {
        let wave = (0.75 * (p[2] + 43.0) + 0.3 * m[0] + 0.8 * self.depth.at(p)).sin();
        let white = step(depth - 10.0 - 2.0 * wave, 2.0 + softness).max(0.28 * step(wave, 1.0));
        let csf = 0.22 * step(-wave - 0.4, 0.6) * (1.0 - white);
        Shares { csf, cortex: 1.0 - white - csf, white, deep_grey: 0.0, vessel: 0.0 }
    }
}

const NOTHING: Shares = Shares { csf: 0.0, cortex: 0.0, white: 0.0, deep_grey: 0.0, vessel: 0.0 };
const FLUID: Shares = Shares { csf: 1.0, ..NOTHING };
const DEEP_GREY: Shares = Shares { deep_grey: 1.0, ..NOTHING };
const VESSEL: Shares = Shares { vessel: 1.0, ..NOTHING };
const STEM: Shares = Shares { cortex: 0.1, white: 0.7, deep_grey: 0.2, ..NOTHING };

/// `a` where `share` is 0, `b` where it is 1.
fn mix(a: Shares, b: Shares, share: f64) -> Shares {
    let blend = |a: f64, b: f64| a + (b - a) * share;
    Shares {
        csf: blend(a.csf, b.csf),
        cortex: blend(a.cortex, b.cortex),
        white: blend(a.white, b.white),
        deep_grey: blend(a.deep_grey, b.deep_grey),
        vessel: blend(a.vessel, b.vessel),
    }
}

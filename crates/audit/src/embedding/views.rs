//! What somebody might do to a copy of an image so that it is not recognised: the views that the embedding learns to
//! see through.
//!
//! Each kind of change happens with a probability of its own, in the order in which they are made: another image shines
//! through, a region is replaced, the image is moved, its contrasts are changed, blurred, coarsened, disturbed, lost.
//! All numbers come from one keyed generator in the host's memory, noise in bulk from the device's, seeded by it.

use std::f64::consts::{FRAC_PI_2, PI};

use synthmr_core::random::{Draw, Rng};
use synthmr_nets::affine::{IDENTITY, Matrix, product, rotation, scaling, translation};
use synthmr_nets::layers::gaussian_blur;
use tch::{Kind, Tensor};

/// Padding of [`Tensor::grid_sampler_2d`]: black beyond the border.
const ZEROS: i64 = 0;
/// Interpolation of [`Tensor::grid_sampler_2d`].
const BILINEAR: i64 = 0;
/// Points a side of a field that bends images.
const FIELD: i64 = 5;

/// Images with what was done to them.
pub(super) struct Views {
    /// f32 `[n, c, side, side]` in [0, 1].
    pub(super) images: Tensor,
    /// Share of each image's own content; the rest is its partner's.
    pub(super) shares: Vec<f64>,
}

/// Views of `images` f32 `[n, c, side, side]` in [0, 1]. `partners` numbers for each image another one of them that may
/// shine through it or lend it regions and contrasts. Of the two kinds of views, mild ones are only moved a little.
pub(super) fn strong(images: &Tensor, partners: &[i64], rng: &mut Rng) -> Views {
    let n = partners.len();
    let others = images.index_select(0, &Tensor::from_slice(partners).to_device(images.device()));
    let (images, shares) = blended(images, &others, rng);
    let images = patched(&images, &others, rng);
    let movements: Vec<Matrix> = (0..n).map(|_| movement(rng)).collect();
    let bend: Vec<f64> =
        (0..n).map(|_| if rng.chance(0.15) { rng.uniform_in(0.0, 0.02) } else { 0.0 }).collect();
    let images = moved(&images, &movements, &bend, rng);
    let images = intensities(&images, rng);
    let images = coarse(&images, rng);
    let images = disturbed(&images, rng);
    let images = without_contrasts(&images, &others, rng);
    Views { images: images.clamp(0.0, 1.0), shares }
}

/// Views of `images` that are hardly changed: the form in which they are searched for copies, half of them moved a
/// little or of another intensity.
pub(super) fn mild(images: &Tensor, rng: &mut Rng) -> Tensor {
    let n = images.size()[0];
    let on: Vec<bool> = (0..n).map(|_| rng.chance(0.5)).collect();
    let movements: Vec<Matrix> =
        on.iter().map(|&on| if on { small_movement(rng) } else { IDENTITY }).collect();
    let images = moved(images, &movements, &vec![0.0; n as usize], rng);
    let mut next = on.iter();
    let gamma =
        column(
            &images,
            || if *next.next().unwrap_or(&false) { rng.uniform_in(-0.3, 0.3).exp() } else { 1.0 },
        );
    images.clamp(1e-4, 1.0).pow(&gamma)
}

/// A mirror, a turn of a few degrees, a shift of a few pixels.
fn small_movement(rng: &mut Rng) -> Matrix {
    let mirror = if rng.chance(0.3) { -1.0 } else { 1.0 };
    let turn = rng.uniform_in(-5.0, 5.0) * PI / 180.0;
    let shift = translation(rng.uniform_in(-0.1, 0.1), rng.uniform_in(-0.1, 0.1));
    product(product(scaling(mirror, 1.0), rotation(turn)), shift)
}

/// Bends images `[n, c, side, side]` so far that they are those of subjects who do not exist: `[n / 2]` fields, of which the
/// `i`-th is for the images `i` and `n / 2 + i`, which show one subject.
pub(super) fn other_subjects(images: &Tensor, rng: &mut Rng) -> Tensor {
    let n = images.size()[0];
    let bend: Vec<f64> = (0..n / 2).map(|_| rng.uniform_in(0.03, 0.1)).collect();
    let field = field(&images.narrow(0, 0, n / 2), &bend, rng);
    sampled(images, &vec![IDENTITY; n as usize], &field.repeat([2, 1, 1, 1]))
}

/// A column `[n, 1, 1, 1]` of values drawn one by one.
fn column(like: &Tensor, draw: impl FnMut() -> f64) -> Tensor {
    planes(like, 1, draw)
}

/// Values `[n, c, 1, 1]` drawn one by one.
fn planes(like: &Tensor, channels: i64, mut draw: impl FnMut() -> f64) -> Tensor {
    let count = like.size()[0] * channels;
    let values: Vec<f32> = (0..count).map(|_| draw() as f32).collect();
    Tensor::from_slice(&values).view([-1, channels, 1, 1]).to_device(like.device())
}

/// Another image shines through.
fn blended(images: &Tensor, others: &Tensor, rng: &mut Rng) -> (Tensor, Vec<f64>) {
    let n = images.size()[0];
    let shares: Vec<f64> =
        (0..n).map(|_| if rng.chance(0.2) { rng.uniform_in(0.5, 0.85) } else { 1.0 }).collect();
    let mut next = shares.iter().copied();
    let share = column(images, || next.next().unwrap_or(1.0));
    (others + (images - others) * share, shares)
}

/// An elliptic region shows something else: the other image, the image itself mirrored, or one level.
fn patched(images: &Tensor, others: &Tensor, rng: &mut Rng) -> Tensor {
    let size = images.size();
    let (n, side) = (size[0], size[3]);
    let device = images.device();
    let axis = (Tensor::arange(side, (Kind::Float, device)) + 0.5) * (2.0 / side as f64) - 1.0;
    let (y, x) = (axis.view([1, 1, side, 1]), axis.view([1, 1, 1, side]));
    // No region is one of radius 0.
    let radius = |rng: &mut Rng, on: bool| {
        let radius = rng.uniform_in(0.12, 0.4);
        if on { 1.0 / radius } else { 1e4 }
    };
    let mut ellipses = Vec::new();
    for _ in 0..n {
        let on = rng.chance(0.3);
        ellipses.extend([
            rng.uniform_in(-0.5, 0.5) as f32,
            rng.uniform_in(-0.5, 0.5) as f32,
            radius(rng, on) as f32,
            radius(rng, on) as f32,
        ]);
    }
    let ellipses = Tensor::from_slice(&ellipses).view([n, 4, 1, 1]).to_device(device);
    let of = |index: i64| ellipses.narrow(1, index, 1);
    let inside = (((y - of(0)) * of(2)).square() + ((x - of(1)) * of(3)).square()).lt(1.0);
    let kinds: Vec<i64> = (0..n).map(|_| rng.below(4) as i64).collect();
    let kinds = Tensor::from_slice(&kinds).view([n, 1, 1, 1]).to_device(device);
    let level = planes(images, size[1], || rng.uniform());
    let mirrored = images.flip([3]);
    let content =
        level.expand_as(images).where_self(&kinds.eq(0), &mirrored.where_self(&kinds.eq(1), others));
    content.where_self(&inside, images)
}

/// Where each place of the view comes from.
fn movement(rng: &mut Rng) -> Matrix {
    let mut g = IDENTITY;
    if rng.chance(0.4) {
        g = product(g, scaling(-1.0, 1.0));
    }
    if rng.chance(0.15) {
        g = product(g, scaling(1.0, -1.0));
    }
    let angle = match rng.below(10) {
        0..=3 => 0.0,
        4..=5 => rng.uniform_in(-15.0, 15.0) * PI / 180.0,
        6..=7 => rng.below(4) as f64 * FRAC_PI_2,
        _ => rng.uniform_in(-PI, PI),
    };
    g = product(g, rotation(angle));
    if rng.chance(0.45) {
        let scale = rng.uniform_in(-0.4, 0.3).exp();
        let stretch = if rng.chance(0.3) { rng.uniform_in(-0.1, 0.1).exp() } else { 1.0 };
        g = product(g, scaling(scale * stretch, scale / stretch));
    }
    if rng.chance(0.5) {
        g = product(g, translation(rng.uniform_in(-0.3, 0.3), rng.uniform_in(-0.3, 0.3)));
    }
    g
}

/// Moves images by matrices and bends them; `bend` is the field's standard deviation, where 2 is a whole side.
fn moved(images: &Tensor, movements: &[Matrix], bend: &[f64], rng: &mut Rng) -> Tensor {
    sampled(images, movements, &field(images, bend, rng))
}

/// Smooth displacements `[n, 2, side, side]` of the given standard deviations.
fn field(images: &Tensor, bend: &[f64], rng: &mut Rng) -> Tensor {
    let (n, side) = (images.size()[0], images.size()[3]);
    let mut field = vec![0f32; (n * 2 * FIELD * FIELD) as usize];
    rng.fill_normal(&mut field);
    let field = Tensor::from_slice(&field).view([n, 2, FIELD, FIELD]).to_device(images.device());
    let mut next = bend.iter().copied();
    let field = field * column(images, || next.next().unwrap_or(0.0));
    field.upsample_bicubic2d([side, side], true, None, None)
}

/// Images read where matrices and displacements say.
fn sampled(images: &Tensor, movements: &[Matrix], field: &Tensor) -> Tensor {
    let affine = rows(movements).to_device(images.device());
    let grid = Tensor::affine_grid_generator(&affine, images.size(), false) + field.permute([0, 2, 3, 1]);
    images.grid_sampler_2d(&grid, BILINEAR, ZEROS, false)
}

/// Movements f32 `[n, 2, 3]`.
fn rows(movements: &[Matrix]) -> Tensor {
    let rows = movements.iter().flat_map(|m| m[..2].iter().flatten().map(|&value| value as f32));
    Tensor::from_slice(&rows.collect::<Vec<_>>()).view([-1, 2, 3])
}

/// Gain, gamma, inversion and bias field of every contrast.
fn intensities(images: &Tensor, rng: &mut Rng) -> Tensor {
    let (n, channels) = (images.size()[0], images.size()[1]);
    // Contrasts of an image are changed alike or each by itself.
    let mut gains = Vec::new();
    let mut gammas = Vec::new();
    let mut inverted = Vec::new();
    for _ in 0..n {
        let change = rng.chance(0.5);
        let alike = rng.chance(0.4);
        let invert = rng.chance(0.2);
        let mut last = (1.0, 1.0, 0.0);
        for channel in 0..channels {
            if channel == 0 || !alike {
                let gain = rng.uniform_in(-0.6, 0.4).exp();
                let gamma = rng.uniform_in(-0.7, 0.7).exp();
                let flip = f64::from(u8::from(invert && (alike || rng.chance(0.7))));
                last = if change { (gain, gamma, flip) } else { (1.0, 1.0, flip) };
            }
            gains.push(last.0 as f32);
            gammas.push(last.1 as f32);
            inverted.push(last.2 as f32);
        }
    }
    let of = |values: &[f32]| Tensor::from_slice(values).view([n, channels, 1, 1]).to_device(images.device());
    let (gains, gammas, inverted) = (of(&gains), of(&gammas), of(&inverted));
    let images = images.clamp(1e-4, 1.0).pow(&gammas) * gains;
    // The black around a head stays black in half of the inverted images.
    let outside: Vec<f32> = (0..n).map(|_| f32::from(u8::from(rng.chance(0.5)))).collect();
    let outside = Tensor::from_slice(&outside).view([n, 1, 1, 1]).to_device(images.device());
    let head = images.amax([1i64].as_slice(), true).gt(0.05).to_kind(Kind::Float).maximum(&outside);
    let images = &images + (1.0 - 2.0 * &images) * inverted * head;
    biased(&images, rng)
}

/// A smooth field of gains over some of the images.
fn biased(images: &Tensor, rng: &mut Rng) -> Tensor {
    let size = images.size();
    let mut field = Vec::with_capacity((size[0] * 9) as usize);
    for _ in 0..size[0] {
        let strength = if rng.chance(0.25) { rng.uniform_in(0.1, 0.5) } else { 0.0 };
        field.extend((0..9).map(|_| (strength * rng.normal()) as f32));
    }
    let field = Tensor::from_slice(&field).view([-1, 1, 3, 3]).to_device(images.device());
    images * field.upsample_bicubic2d([size[2], size[3]], true, None, None).exp()
}

/// Some images are blurred or made of fewer pixels.
fn coarse(images: &Tensor, rng: &mut Rng) -> Tensor {
    let size = images.size();
    let side = size[3];
    let mut chosen: [Vec<i64>; 4] = Default::default();
    for index in 0..size[0] {
        let kind = rng.below(10) as usize;
        if let Some(list) = chosen.get_mut(kind) {
            list.push(index);
        }
    }
    let reduced = |x: &Tensor, factor: i64| {
        let small = x.adaptive_avg_pool2d([side / factor, side / factor]);
        small.upsample_bilinear2d([side, side], false, None, None)
    };
    let changes: [&dyn Fn(&Tensor) -> Tensor; 4] =
        [&|x| gaussian_blur(x, 0.9), &|x| gaussian_blur(x, 1.6), &|x| reduced(x, 2), &|x| reduced(x, 4)];
    let mut images = images.shallow_clone();
    for (indices, change) in chosen.iter().zip(changes).filter(|(indices, _)| !indices.is_empty()) {
        let indices = Tensor::from_slice(indices).to_device(images.device());
        images = images.index_copy(0, &indices, &change(&images.index_select(0, &indices)));
    }
    images
}

/// Noise over some of the images.
fn disturbed(images: &Tensor, rng: &mut Rng) -> Tensor {
    let strength = column(images, || if rng.chance(0.45) { rng.uniform_in(0.01, 0.15) } else { 0.0 });
    tch::manual_seed((rng.below(1 << 62)) as i64);
    images + images.randn_like() * strength
}

/// Some contrasts are lost, or those of the other image, or in another order.
fn without_contrasts(images: &Tensor, others: &Tensor, rng: &mut Rng) -> Tensor {
    let (n, channels) = (images.size()[0], images.size()[1]);
    if channels < 2 {
        return images.shallow_clone();
    }
    let (mut kept, mut order) = (Vec::new(), Vec::new());
    for _ in 0..n {
        let lose = rng.chance(0.4);
        let sure = rng.below(channels as u64) as i64;
        kept.extend((0..channels).map(|channel| !lose || channel == sure || rng.chance(0.3)));
        let mut places: Vec<i64> = (0..channels).collect();
        if rng.chance(0.1) {
            rng.shuffle(&mut places);
        }
        order.extend(places);
    }
    let replaced = column(images, || f64::from(u8::from(rng.chance(0.4))));
    let kept = Tensor::from_slice(&kept).view([n, channels, 1, 1]).to_device(images.device());
    let order = Tensor::from_slice(&order).view([n, channels, 1, 1]).to_device(images.device());
    let images = images.where_self(&kept, &(others * replaced));
    images.gather(1, &order.expand(images.size(), false), false)
}

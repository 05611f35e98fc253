//! Copies of training images, changed in the ways in which a copy may differ from its source: what this audit would have
//! found. Lengths are pixels of a 256-pixel image; smaller images get proportionally less.

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::Tier;
use synthmr_nets::affine::{Between, Outside, resampled};
use synthmr_nets::layers::smoothed;
use tch::{Device, Kind, Tensor};

use crate::slices::Slices;

/// Side of the image whose pixels lengths are given in.
const NOMINAL_SIDE: f64 = 256.0;

/// A way to change a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Change {
    /// None.
    Identity,
    /// Grey levels in steps of four.
    SixBits,
    /// Left and right exchanged.
    FlipColumns,
    /// Top and bottom exchanged.
    FlipRows,
    /// Quarter turns.
    QuarterTurns(i64),
    /// Degrees.
    Rotation(f64),
    /// Pixels, to the right and half as many down.
    Shift(f64),
    /// Factor of the size.
    Scale(f64),
    /// Standard deviation of white noise, as a share of the range.
    Noise(f64),
    /// Standard deviation, pixels.
    Blur(f64),
    /// Factor of the grey levels.
    Gain(f64),
    /// Exponent of the grey levels.
    Gamma(f64),
    /// Half the resolution.
    HalfResolution,
    /// A smooth factor from about 0.7 to 1.4 across the image, another one for every contrast.
    Shading,
    /// The mean of two neighbouring slices.
    BetweenSlices,
    /// The tumour healed with the other side's pixels, and another subject's put in.
    TumourReplaced,
    /// The mean of two subjects' images.
    Blend,
    /// The middle, enlarged.
    Crop(f64),
    /// One contrast; the others are another subject's.
    OneContrast,
    /// Contrasts in another order.
    Permuted,
    /// Black and white exchanged.
    Inverted,
    /// Bent across the diagonal: a factor of the shift along columns for every row.
    Shear(f64),
    /// A quarter of the image in black, from one corner to the middle.
    Covered,
    /// One half is another subject's.
    HalfReplaced,
    /// The annotation alone; the image is a new subject's.
    AnnotationOnly,
}

use Change as C;
use Tier::{Partial, Slight, Strong};

/// The changes that are planted, with their names and tiers.
pub const CELLS: [(&str, Tier, Change); 37] = [
    ("unchanged", Slight, C::Identity),
    ("6-bit grey levels", Slight, C::SixBits),
    ("flipped left-right", Slight, C::FlipColumns),
    ("flipped top-bottom", Slight, C::FlipRows),
    ("turned by 90 degrees", Slight, C::QuarterTurns(1)),
    ("turned by 180 degrees", Slight, C::QuarterTurns(2)),
    ("rotated by 2 degrees", Slight, C::Rotation(2.0)),
    ("rotated by 5 degrees", Slight, C::Rotation(5.0)),
    ("shifted by 4 pixels", Slight, C::Shift(4.0)),
    ("noise of 1 %", Slight, C::Noise(0.01)),
    ("blurred by 1 pixel", Slight, C::Blur(1.0)),
    ("gain 0.7", Slight, C::Gain(0.7)),
    ("gain 1.3", Slight, C::Gain(1.3)),
    ("gamma 0.7", Slight, C::Gamma(0.7)),
    ("gamma 1.5", Slight, C::Gamma(1.5)),
    ("half resolution", Slight, C::HalfResolution),
    ("rotated by 10 degrees", Strong, C::Rotation(10.0)),
    ("rotated by 20 degrees", Strong, C::Rotation(20.0)),
    ("shifted by 8 pixels", Strong, C::Shift(8.0)),
    ("reduced to 90 %", Strong, C::Scale(0.9)),
    ("enlarged to 110 %", Strong, C::Scale(1.1)),
    ("noise of 10 %", Strong, C::Noise(0.1)),
    ("shading", Strong, C::Shading),
    ("between two slices", Strong, C::BetweenSlices),
    ("tumour replaced", Strong, C::TumourReplaced),
    ("rotated by 30 degrees", Partial, C::Rotation(30.0)),
    ("blurred by 4 pixels", Partial, C::Blur(4.0)),
    ("blend of two subjects", Partial, C::Blend),
    ("middle enlarged to 150 %", Partial, C::Crop(1.5)),
    ("one contrast only", Partial, C::OneContrast),
    ("contrasts in another order", Partial, C::Permuted),
    ("black and white exchanged", Partial, C::Inverted),
    ("shifted by 30 pixels", Partial, C::Shift(30.0)),
    ("sheared by 12 %", Partial, C::Shear(0.12)),
    ("a quarter covered", Partial, C::Covered),
    ("half another subject's", Partial, C::HalfReplaced),
    ("annotation only", Partial, C::AnnotationOnly),
];

/// What copies are made of, row by row.
pub struct Sources {
    /// The training images that are copied.
    pub source: Slices,
    /// A neighbouring slice of each.
    pub neighbour: Slices,
    /// A slice of another training subject.
    pub other: Slices,
    /// A slice of a subject that no generator has seen.
    pub fresh: Slices,
}

impl Change {
    /// The changed copies; what is random is keyed by the seed.
    pub fn apply(self, sources: &Sources, seed: u64) -> Slices {
        let Sources { source, neighbour, other, fresh } = sources;
        let x = source.images.to_kind(Kind::Float);
        let labels = || source.labels.shallow_clone();
        let (h, w) = (x.size()[2], x.size()[3]);
        let unit = h.max(w) as f64 / NOMINAL_SIDE;
        let moved = |scale: f64, degrees: f64, pixels: f64| {
            let (sin, cos) = (degrees.to_radians().sin() / scale, degrees.to_radians().cos() / scale);
            let [x, y] = [2.0 * pixels * unit / w as f64, pixels * unit / h as f64];
            warped(source, [cos, -sin, -x, sin, cos, -y])
        };
        let with_images = |images: Tensor| Slices { images: bytes(&images), labels: labels() };
        match self {
            C::Identity => with_images(x),
            C::SixBits => with_images((x / 4.0).floor() * 4.0 + 2.0),
            C::FlipColumns => Slices { images: source.images.flip([3]), labels: source.labels.flip([2]) },
            C::FlipRows => Slices { images: source.images.flip([2]), labels: source.labels.flip([1]) },
            // Quarter turns of images that are not square are half turns.
            C::QuarterTurns(turns) => {
                let turns = if h == w { turns } else { 2 };
                Slices {
                    images: source.images.rot90(turns, [2, 3]),
                    labels: source.labels.rot90(turns, [1, 2]),
                }
            }
            C::Rotation(degrees) => moved(1.0, degrees, 0.0),
            C::Shift(pixels) => moved(1.0, 0.0, pixels),
            C::Scale(factor) | C::Crop(factor) => moved(factor, 0.0, 0.0),
            C::Noise(share) => with_images(&x + noise(&x, seed) * (255.0 * share)),
            C::Blur(pixels) => with_images(smoothed(&x, pixels * unit)),
            C::Gain(factor) => with_images(x * factor),
            C::Gamma(exponent) => with_images((x / 255.0).pow_tensor_scalar(exponent) * 255.0),
            C::HalfResolution => {
                let half = x.avg_pool2d([2, 2], [2, 2], [0, 0], true, false, None);
                with_images(half.upsample_bilinear2d([h, w], false, None, None))
            }
            C::Shading => with_images(&x * shading(&x)),
            C::BetweenSlices => with_images((x + neighbour.images.to_kind(Kind::Float)) * 0.5),
            C::TumourReplaced => replaced(source, other),
            C::Blend => with_images((x + other.images.to_kind(Kind::Float)) * 0.5),
            C::OneContrast => {
                let images = other.images.copy();
                let channel = images.size()[1] / 2;
                images.narrow(1, channel, 1).copy_(&source.images.narrow(1, channel, 1));
                Slices { images, labels: other.labels.shallow_clone() }
            }
            C::Permuted => with_images(x.roll([1], [1])),
            C::Inverted => with_images(255.0 - x),
            C::Shear(share) => warped(source, [1.0, share, 0.0, 0.0, 1.0, 0.0]),
            C::Covered => {
                let covered = x.copy();
                let _ = covered.narrow(2, 0, h / 2).narrow(3, 0, w / 2).zero_();
                with_images(covered)
            }
            C::HalfReplaced => {
                let half = x.copy();
                let right = |images: &Tensor| images.narrow(3, w / 2, w - w / 2);
                right(&half).copy_(&right(&other.images));
                with_images(half)
            }
            C::AnnotationOnly => Slices { images: fresh.images.shallow_clone(), labels: labels() },
        }
    }
}

/// To u8, rounded and cut off at 0 and 255.
fn bytes(x: &Tensor) -> Tensor {
    x.round().clamp(0.0, 255.0).to_kind(Kind::Uint8)
}

/// Slices through one affine map from the result to the source; images bilinear, annotations the nearest pixel.
fn warped(source: &Slices, map: [f64; 6]) -> Slices {
    let n = source.images.size()[0];
    let maps = Tensor::from_slice(&map.map(|value| value as f32)).view([1, 2, 3]).expand([n, -1, -1], false);
    let seen = |x: &Tensor, between| resampled(&x.to_kind(Kind::Float), &maps, between, Outside::Zeros);
    let images = seen(&source.images, Between::Bilinear);
    let labels = seen(&source.labels.unsqueeze(1), Between::Nearest);
    Slices { images: bytes(&images), labels: bytes(&labels.squeeze_dim(1)) }
}

fn noise(x: &Tensor, seed: u64) -> Tensor {
    let mut values = vec![0f32; x.numel()];
    rng(seed, Stream::Planted, 1).fill_normal(&mut values);
    Tensor::from_slice(&values).view_as(x)
}

/// `[c, h, w]`: a slope along rows and one along columns, of another sign for every other contrast.
fn shading(x: &Tensor) -> Tensor {
    let line = |n: i64| (Tensor::arange(n, (Kind::Float, Device::Cpu)) + 0.5) * (2.0 / n as f64) - 1.0;
    let (rows, columns) = (line(x.size()[2]).view([-1, 1]), line(x.size()[3]).view([1, -1]));
    let planes: Vec<Tensor> = (0..x.size()[1])
        .map(|c| {
            let sign = if c % 2 == 0 { 1.0 } else { -1.0 };
            ((&columns * 0.25 + &rows * (0.15 * sign)) * sign).exp()
        })
        .collect();
    Tensor::stack(&planes, 0)
}

/// The source's tumour healed with the pixels of the other side, the other subject's tumour in place.
fn replaced(source: &Slices, other: &Slices) -> Slices {
    let tumour = source.labels.gt(0).unsqueeze(1);
    let healed = source.images.flip([3]).where_self(&tumour, &source.images);
    let new = other.labels.gt(0).unsqueeze(1);
    Slices { images: other.images.where_self(&new, &healed), labels: other.labels.shallow_clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slices(value: u8) -> Slices {
        let images =
            Tensor::arange(2 * 3 * 16 * 16, (Kind::Int64, Device::Cpu)).remainder(200).view([2, 3, 16, 16]);
        let labels = Tensor::zeros([2, 16, 16], (Kind::Uint8, Device::Cpu));
        let _ = labels.narrow(1, 4, 3).narrow(2, i64::from(value), 4).fill_(i64::from(value));
        Slices { images: (images + i64::from(value)).to_kind(Kind::Uint8), labels }
    }

    #[test]
    fn every_change_keeps_the_form_and_changes_something() {
        let sources = Sources { source: slices(1), neighbour: slices(2), other: slices(3), fresh: slices(5) };
        for (name, _, change) in CELLS {
            let copy = change.apply(&sources, 7);
            assert_eq!(copy.images.size(), [2, 3, 16, 16], "{name}");
            assert_eq!((copy.images.kind(), copy.labels.kind()), (Kind::Uint8, Kind::Uint8), "{name}");
            let same = copy.images == sources.source.images && copy.labels == sources.source.labels;
            // At 16 pixels, blurring by four pixels of 256 is nothing.
            assert_eq!(same, matches!(change, Change::Identity | Change::Blur(_)), "{name}");
            let again = change.apply(&sources, 7);
            assert!(again.images == copy.images && again.labels == copy.labels, "{name}");
        }
        let annotation = Change::AnnotationOnly.apply(&sources, 7);
        assert!(annotation.images == sources.fresh.images && annotation.labels == sources.source.labels);
    }

    #[test]
    fn a_shift_of_four_nominal_pixels_moves_a_quarter_of_one_of_sixteen() {
        let images = Tensor::zeros([1, 1, 16, 16], (Kind::Uint8, Device::Cpu));
        let _ = images.narrow(2, 8, 1).narrow(3, 8, 1).fill_(200);
        let labels = Tensor::zeros([1, 16, 16], (Kind::Uint8, Device::Cpu));
        let moved = warped(&Slices { images, labels }, [1.0, 0.0, -2.0 * 0.25 / 16.0, 0.0, 1.0, 0.0]);
        assert_eq!(moved.images.int64_value(&[0, 0, 8, 8]), 150);
        assert_eq!(moved.images.int64_value(&[0, 0, 8, 9]), 50);
    }
}

//! From a store's 8-bit slices to what a segmenter sees.
//!
//! The study divides by 256 and then standardises each channel of each slice over its foreground. The second
//! step undoes the first exactly, so only the second is done here. The foreground is what is not zero; the
//! study takes what is not the slice's minimum, which is the same wherever there is background, and always
//! after the enlargement with zeros that `valid` padding needs.

use tch::{Kind, Tensor};

/// Standardises u8 images `[n, c, h, w]`, channel by channel and slice by slice, to mean 0 and standard
/// deviation 1 over the pixels that are not zero (n - 1 in the denominator, as PyTorch's `std`); background
/// goes the same way and becomes `-mean / deviation`. `side` pixels are returned, f32 `[n, c, side, side]`,
/// more than there were being filled with background on all sides.
///
/// A channel without foreground becomes zero everywhere. One whose foreground has a single value, or a single
/// pixel, has no deviation to divide by: it is divided by its mean instead, foreground 0 and background -1.
pub fn normalised(images: &Tensor, side: i64) -> Tensor {
    let size = images.size();
    let (height, width) = (size[2], size[3]);
    assert!(height <= side && width <= side, "an image fits into the network's input");
    let x = images.to_kind(Kind::Float);
    let over_pixels = [2i64, 3].as_slice();
    let sum = |t: &Tensor| t.sum_dim_intlist(over_pixels, true, Kind::Float);
    let foreground = x.gt(0).to_kind(Kind::Float);
    let count = sum(&foreground);
    let mean = sum(&x) / count.clamp_min(1);
    let centred = x - &mean;
    let variance = sum(&(&centred * &foreground).square_()) / (count - 1).clamp_min(1);
    // Values are whole numbers: two different ones among the 2^20 pixels of the largest slice already give a
    // variance of 1e-6, and rounding in the mean of equal ones stays below 1e-8.
    let constant = variance.lt(1e-7);
    let deviation = variance.sqrt().where_self(&constant.logical_not(), &mean.clamp_min(1));
    let standardised = centred / &deviation;
    if (height, width) == (side, side) {
        return standardised;
    }
    let (top, left) = ((side - height) / 2, (side - width) / 2);
    let background = (-mean / deviation).expand([size[0], size[1], side, side], false).contiguous();
    let middle = background.narrow(2, top, height).narrow(3, left, width);
    middle.shallow_clone().copy_(&standardised);
    background
}

/// u8 images `[n, c, h, w]` as f32 from 0 to 255, enlarged to `side` pixels with zeros on all sides.
pub fn as_they_are(images: &Tensor, side: i64) -> Tensor {
    let size = images.size();
    let (height, width) = (side - size[2], side - size[3]);
    assert!(height >= 0 && width >= 0, "an image fits into the network's input");
    let pads = [width / 2, width - width / 2, height / 2, height - height / 2];
    images.to_kind(Kind::Float).constant_pad_nd(pads)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(values: &[u8], side: i64) -> Tensor {
        Tensor::from_slice(values).view([1, -1, side, side])
    }

    fn close(found: &Tensor, expected: &[f64]) {
        let found: Vec<f32> = found.flatten(0, -1).try_into().unwrap();
        assert_eq!(found.len(), expected.len());
        for (f, e) in found.iter().zip(expected) {
            assert!((f64::from(*f) - e).abs() < 1e-6, "{found:?} is not {expected:?}");
        }
    }

    #[test]
    fn the_foreground_has_mean_zero_and_deviation_one() {
        // Foreground 10, 20, 30: mean 20, standard deviation 10.
        close(&normalised(&image(&[0, 10, 20, 30], 2), 2), &[-2.0, -1.0, 0.0, 1.0]);
    }

    #[test]
    fn channels_without_variance_stay_finite() {
        close(&normalised(&image(&[0, 0, 0, 0], 2), 2), &[0.0; 4]);
        close(&normalised(&image(&[0, 0, 7, 0], 2), 2), &[-1.0, -1.0, 0.0, -1.0]);
        close(&normalised(&image(&[9, 9, 9, 9], 2), 2), &[0.0; 4]);
    }

    #[test]
    fn enlargement_is_with_background() {
        let small = normalised(&image(&[0, 10, 20, 30], 2), 2);
        let large = normalised(&image(&[0, 10, 20, 30], 2), 5);
        assert_eq!(large.size(), [1, 1, 5, 5]);
        assert_eq!(large.narrow(2, 1, 2).narrow(3, 1, 2), small);
        assert_eq!(large.double_value(&[0, 0, 0, 0]), -2.0);
        assert_eq!(large.double_value(&[0, 0, 4, 4]), -2.0);
    }

    #[test]
    fn slices_and_channels_are_standardised_by_themselves() {
        let a = image(&[0, 10, 20, 30, 0, 1, 2, 3], 2);
        let b = image(&[5, 50, 0, 90, 200, 0, 100, 3], 2);
        let both = normalised(&Tensor::cat(&[&a, &b], 0), 2);
        assert_eq!(both.narrow(0, 0, 1), normalised(&a, 2));
        assert_eq!(both.narrow(0, 1, 1), normalised(&b, 2));
    }
}

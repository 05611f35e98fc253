//! Where the head is in an image, whatever was done to its grey levels.

use tch::{Kind, Tensor};

/// Share of an image's strongest contrast with its border beyond which a pixel belongs to the head.
const SHARE: f64 = 0.15;

/// The head in f32 images `[n, c, h, w]`: 1 inside and 0 outside, `[n, 1, h, w]`. What counts is the distance from the
/// border's median grey level, smoothed over 3x3 pixels, so that noise and an exchange of black and white do not matter.
pub fn foreground(images: &Tensor) -> Tensor {
    let (h, w) = (images.size()[2], images.size()[3]);
    let border = Tensor::cat(
        &[images.select(2, 0), images.select(2, h - 1), images.select(3, 0), images.select(3, w - 1)],
        2,
    );
    let (border, _) = border.median_dim(2, true);
    let distance = (images - border.unsqueeze(3)).abs().mean_dim([1i64].as_slice(), true, Kind::Float);
    let distance = distance.avg_pool2d([3, 3], [1, 1], [1, 1], false, true, None);
    let strongest = distance.flatten(1, -1).quantile_scalar(0.99, 1, true, "linear").view([-1, 1, 1, 1]);
    distance.gt_tensor(&(strongest * SHARE)).to_kind(Kind::Float)
}

/// A mask without its rim of `pixels`: `[n, 1, h, w]`.
pub fn eroded(mask: &Tensor, pixels: i64) -> Tensor {
    let side = 2 * pixels + 1;
    let padded = (mask.ones_like() - mask).constant_pad_nd([pixels; 4]);
    mask.ones_like() - padded.max_pool2d([side, side], [1, 1], [0, 0], [1, 1], false)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn the_head_is_found_in_black_on_white_and_in_noise() {
        let image = Tensor::zeros([1, 2, 32, 32], (Kind::Float, Device::Cpu));
        let _ = image.narrow(2, 8, 16).narrow(3, 10, 12).fill_(150.0);
        tch::manual_seed(1);
        let noisy = (&image + image.randn_like() * 20.0).clamp(0.0, 255.0);
        for (name, x) in [("plain", image.shallow_clone()), ("inverted", 255.0 - &image), ("noisy", noisy)] {
            let area = foreground(&x).sum(Kind::Float).double_value(&[]);
            // 16 x 12, and the rim that the smoothing adds.
            assert!((192.0..=18.0 * 14.0 + 12.0).contains(&area), "{name}: {area}");
        }
        let inner = eroded(&foreground(&image), 2).sum(Kind::Float).double_value(&[]);
        assert!((12.0 * 8.0..=14.0 * 10.0).contains(&inner), "{inner}");
    }
}

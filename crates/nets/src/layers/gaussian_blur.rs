//! A Gaussian filter on images, for discriminators that are to see coarse structure first (Karras et al. 2021,
//! appendix F.2).

use tch::Tensor;

/// `[n, c, h, w] -> [n, c, h, w]` with taps `2^-(x / sigma)^2` within three deviations, zeros beyond the border; the
/// images themselves where `sigma` is too small for a second tap.
pub fn gaussian_blur(images: &Tensor, sigma: f64) -> Tensor {
    let reach = (3.0 * sigma).floor() as i64;
    if reach == 0 {
        return images.shallow_clone();
    }
    let taps: Vec<f64> = (-reach..=reach).map(|x| (-(x as f64 / sigma).powi(2)).exp2()).collect();
    let sum: f64 = taps.iter().sum();
    let taps = (Tensor::from_slice(&taps) / sum).to_kind(images.kind()).to_device(images.device());
    let channels = images.size()[1];
    let filter = |x: &Tensor, shape: [i64; 4], padding: [i64; 2]| {
        let taps = taps.view(shape).expand([channels, 1, -1, -1], false);
        x.conv2d(&taps, None::<&Tensor>, [1, 1], padding, [1, 1], channels)
    };
    let rows = filter(images, [1, 1, 1, -1], [0, reach]);
    filter(&rows, [1, 1, -1, 1], [reach, 0])
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn an_impulse_becomes_the_taps() {
        let mut x = Tensor::zeros([1, 2, 9, 9], (Kind::Double, Device::Cpu));
        let _ = x.select(2, 4).select(2, 4).fill_(1.0);
        let y = gaussian_blur(&x, 0.5);
        // One tap a side: 1 / 16, 1, 1 / 16.
        let centre = 16.0 / 18.0;
        assert!((y.double_value(&[0, 1, 4, 4]) - centre * centre).abs() < 1e-12);
        assert!((y.double_value(&[0, 0, 3, 4]) - centre / 18.0).abs() < 1e-12);
        assert_eq!(y.double_value(&[0, 0, 2, 4]), 0.0);
        x = gaussian_blur(&x, 0.3);
        assert_eq!(x.double_value(&[0, 0, 4, 4]), 1.0);
    }
}

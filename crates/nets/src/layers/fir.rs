//! Resampling with the separable filter `[1, 3, 3, 1] / 8` (Karras et al. 2020, appendix B, after Zhang 2019).

use tch::{Device, Kind, Tensor};

/// Filters channels independently; every operation is linear and as often differentiable as one likes.
pub struct Fir {
    /// `[1, 1, 4, 4]`, sums to one.
    taps: Tensor,
}

impl Fir {
    /// The filter on a device.
    pub fn new(device: Device, kind: Kind) -> Self {
        let row = Tensor::from_slice(&[1.0f64, 3.0, 3.0, 1.0]) / 8.0;
        let taps = row.outer(&row).view([1, 1, 4, 4]);
        Self { taps: taps.to_kind(kind).to_device(device) }
    }

    /// One filter a channel, in the kind of `x` and multiplied by `gain`: `[c, 1, 4, 4]`.
    fn depthwise(&self, x: &Tensor, gain: f64) -> (Tensor, i64) {
        let channels = x.size()[1];
        let taps = (&self.taps * gain).to_kind(x.kind());
        (taps.expand([channels, 1, 4, 4], false), channels)
    }

    /// Twice as large: `[n, c, h, w] -> [n, c, 2 h, 2 w]`. Zeros are inserted between samples and filtered,
    /// which a transposed convolution does in one step.
    pub fn double(&self, x: &Tensor) -> Tensor {
        let (taps, channels) = self.depthwise(x, 4.0);
        x.conv_transpose2d(&taps, None::<&Tensor>, [2, 2], [1, 1], [0, 0], channels, [1, 1])
    }

    /// Half as large: `[n, c, h, w] -> [n, c, h / 2, w / 2]`.
    pub fn halve(&self, x: &Tensor) -> Tensor {
        let (taps, channels) = self.depthwise(x, 1.0);
        x.conv2d(&taps, None::<&Tensor>, [2, 2], [1, 1], [1, 1], channels)
    }

    /// The filter in front of a 3x3 convolution of stride 2 without padding:
    /// `[n, c, h, w] -> [n, c, h + 1, w + 1]`.
    pub fn before_halving(&self, x: &Tensor) -> Tensor {
        let (taps, channels) = self.depthwise(x, 1.0);
        x.conv2d(&taps, None::<&Tensor>, [1, 1], [2, 2], [1, 1], channels)
    }

    /// The filter behind a 3x3 transposed convolution of stride 2 without padding:
    /// `[n, c, 2 h + 1, 2 w + 1] -> [n, c, 2 h, 2 w]`, multiplied by 4 for the inserted zeros.
    pub fn after_doubling(&self, x: &Tensor) -> Tensor {
        let (taps, channels) = self.depthwise(x, 4.0);
        x.conv2d(&taps, None::<&Tensor>, [1, 1], [1, 1], [1, 1], channels)
    }
}

/// The separable filter `[1, 2, 1] / 4` at the same resolution (Karras et al. 2019, appendix C):
/// `[n, c, h, w] -> [n, c, h, w]`, zeros beyond the border.
pub struct Blur {
    /// `[1, 1, 3, 3]`, sums to one.
    taps: Tensor,
}

impl Blur {
    /// The filter on a device.
    pub fn new(device: Device, kind: Kind) -> Self {
        let row = Tensor::from_slice(&[1.0f64, 2.0, 1.0]) / 4.0;
        Self { taps: row.outer(&row).view([1, 1, 3, 3]).to_kind(kind).to_device(device) }
    }

    /// In the kind of `x`.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let channels = x.size()[1];
        let taps = self.taps.to_kind(x.kind()).expand([channels, 1, 3, 3], false);
        x.conv2d(&taps, None::<&Tensor>, [1, 1], [1, 1], [1, 1], channels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Zero insertion, zero padding and plain summation in two loops: the definition.
    fn reference(x: &[Vec<f64>], up: usize, down: usize, before: i64, after: i64) -> Vec<Vec<f64>> {
        let n = (x.len() * up) as i64;
        let f = [1.0, 3.0, 3.0, 1.0].map(|tap| tap / 8.0 * up as f64);
        let at = |r: i64, c: i64| {
            let inside = |i: i64| i >= 0 && i < n && i % up as i64 == 0;
            if inside(r) && inside(c) { x[r as usize / up][c as usize / up] } else { 0.0 }
        };
        let outputs = (n + before + after - 4) / down as i64 + 1;
        (0..outputs)
            .map(|r| {
                (0..outputs)
                    .map(|c| {
                        let mut sum = 0.0;
                        for (i, fi) in f.iter().enumerate() {
                            for (j, fj) in f.iter().enumerate() {
                                let row = r * down as i64 + i as i64 - before;
                                let column = c * down as i64 + j as i64 - before;
                                sum += fi * fj * at(row, column);
                            }
                        }
                        sum
                    })
                    .collect()
            })
            .collect()
    }

    fn compare(y: &Tensor, expected: &[Vec<f64>]) {
        assert_eq!(y.size()[2] as usize, expected.len());
        for (r, row) in expected.iter().enumerate() {
            for (c, value) in row.iter().enumerate() {
                for channel in 0..2 {
                    let found = y.double_value(&[0, channel, r as i64, c as i64]);
                    assert!((found - value).abs() < 1e-12, "({r}, {c}): {found} != {value}");
                }
            }
        }
    }

    #[test]
    fn equals_zero_insertion_padding_and_summation() {
        let size = 6;
        let x: Vec<Vec<f64>> =
            (0..size).map(|r| (0..size).map(|c| ((r * 7 + c * 3) % 5) as f64 - 1.5).collect()).collect();
        let flat: Vec<f64> = x.iter().flatten().copied().collect();
        let tensor = Tensor::from_slice(&flat).view([1, 1, size as i64, size as i64]).repeat([1, 2, 1, 1]);
        let fir = Fir::new(Device::Cpu, Kind::Double);
        compare(&fir.double(&tensor), &reference(&x, 2, 1, 2, 1));
        compare(&fir.halve(&tensor), &reference(&x, 1, 2, 1, 1));
        compare(&fir.before_halving(&tensor), &reference(&x, 1, 1, 2, 2));
        let quadrupled = (fir.after_doubling(&tensor) / 4.0).set_requires_grad(false);
        compare(&quadrupled, &reference(&x, 1, 1, 1, 1));
    }
}

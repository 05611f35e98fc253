//! Low-pass filters by Kaiser's window method (Karras et al. 2021, appendix C.1 to C.4; Kaiser 1974), in f64.

use std::f64::consts::PI;

/// A low-pass filter to design. Frequencies and the rate have the same unit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LowPass {
    /// Number of taps, even.
    pub taps: usize,
    /// Cut-off frequency.
    pub cutoff: f64,
    /// Width of the whole transition band.
    pub width: f64,
    /// Sampling rate.
    pub rate: f64,
}

impl LowPass {
    /// The windowed sinc, `taps` values that sum to one.
    pub fn line(&self) -> Vec<f64> {
        let taps = self.positions().zip(self.window()).map(|(t, window)| {
            let phase = 2.0 * PI * self.cutoff * t;
            window * phase.sin() / phase
        });
        to_unit_sum(taps.collect())
    }

    /// The radially symmetric filter of equation 12, `taps * taps` values that sum to one: the jinc function, which is the Fourier
    /// transform of a disc, under the outer product of two windows.
    pub fn disc(&self) -> Vec<f64> {
        let window = self.window();
        let taps = self.positions().zip(&window).flat_map(|(y, wy)| {
            self.positions().zip(&window).map(move |(x, wx)| {
                let radius = PI * x.hypot(y);
                wx * wy * bessel_j1(2.0 * self.cutoff * radius) / radius
            })
        });
        to_unit_sum(taps.collect())
    }

    /// The radially symmetric filter in continuous form at a distance of at least 0 from its centre, under a radial
    /// window and up to a factor: 0 beyond half the filter's length.
    pub fn at(&self, distance: f64) -> f64 {
        let reach = self.taps as f64 / 2.0 / self.rate;
        if distance >= reach {
            return 0.0;
        }
        let window = bessel_i0(self.beta() * (1.0 - (distance / reach).powi(2)).sqrt());
        let radius = PI * distance;
        // J1(x) / x tends to 1/2.
        let jinc = if radius < 1e-9 { self.cutoff } else { bessel_j1(2.0 * self.cutoff * radius) / radius };
        window * jinc
    }

    /// Times of the taps; none is 0, because their number is even.
    fn positions(&self) -> impl Iterator<Item = f64> {
        debug_assert!(self.taps.is_multiple_of(2));
        let (centre, rate) = ((self.taps - 1) as f64 / 2.0, self.rate);
        (0..self.taps).map(move |i| (i as f64 - centre) / rate)
    }

    /// Kaiser's window, as wide as the filter.
    fn window(&self) -> Vec<f64> {
        let beta = self.beta();
        let centre = (self.taps - 1) as f64 / 2.0;
        let at = |i: usize| (1.0 - ((i as f64 - centre) / centre).powi(2)).max(0.0).sqrt();
        (0..self.taps).map(|i| bessel_i0(beta * at(i)) / bessel_i0(beta)).collect()
    }

    /// The window's shape parameter for the attenuation (in dB) that this number of taps reaches at this width:
    /// Kaiser's empirical formulas, equations 7 and 8.
    fn beta(&self) -> f64 {
        let width = self.width / (self.rate / 2.0);
        let attenuation = 2.285 * (self.taps - 1) as f64 * PI * width + 7.95;
        if attenuation > 50.0 {
            0.1102 * (attenuation - 8.7)
        } else if attenuation > 21.0 {
            0.5842 * (attenuation - 21.0).powf(0.4) + 0.07886 * (attenuation - 21.0)
        } else {
            0.0
        }
    }
}

fn to_unit_sum(mut taps: Vec<f64>) -> Vec<f64> {
    let sum: f64 = taps.iter().sum();
    taps.iter_mut().for_each(|tap| *tap /= sum);
    taps
}

/// Bessel function of the first kind and order 1, by Bessel's integral.
fn bessel_j1(x: f64) -> f64 {
    mean_over_half_turn(|angle| (angle - x * angle.sin()).cos())
}

/// Modified Bessel function of the first kind and order 0.
fn bessel_i0(x: f64) -> f64 {
    mean_over_half_turn(|angle| (x * angle.cos()).exp())
}

/// Mean over [0, pi] of a function that is even and has the period 2 pi, for which the trapezoidal rule converges
/// exponentially: arguments of Bessel functions up to 40 come out to machine precision.
fn mean_over_half_turn(function: impl Fn(f64) -> f64) -> f64 {
    const INTERVALS: u32 = 64;
    let inner: f64 = (1..INTERVALS).map(|k| function(PI * f64::from(k) / f64::from(INTERVALS))).sum();
    (inner + (function(0.0) + function(PI)) / 2.0) / f64::from(INTERVALS)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abramowitz and Stegun, tables 9.1 and 9.8, and the first zero of J1.
    #[test]
    fn bessel_functions_equal_the_tables() {
        for (x, expected) in [(0.0, 0.0), (1.0, 0.440_050_585_744_933_5), (10.0, 0.043_472_746_168_861_44)] {
            assert!((bessel_j1(x) - expected).abs() < 1e-15, "{x}: {}", bessel_j1(x));
        }
        assert!(bessel_j1(3.831_705_970_207_512_5).abs() < 1e-15);
        for (x, expected) in [(0.0, 1.0), (1.0, 1.266_065_877_752_008_4), (5.0, 27.239_871_823_604_442)] {
            assert!((bessel_i0(x) / expected - 1.0).abs() < 1e-14, "{x}: {}", bessel_i0(x));
        }
    }
}

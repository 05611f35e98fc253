//! Fourier features: the input of the synthesis network is defined on the whole plane, so that the picture can be
//! moved and turned exactly (Karras et al. 2021, sections 3.1 and 3.2, appendix F.1).

use std::f64::consts::TAU;

use tch::Tensor;

use super::schedule::Band;
use crate::engine::{Init, Scope};

/// Where the picture is put: first turned about its centre, then moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Placement {
    /// Angle in radians, counter-clockwise as the image is seen (rows count downwards).
    pub angle: f64,
    /// Movement to the right, in image sides.
    pub right: f64,
    /// Movement downwards, in image sides.
    pub down: f64,
}

impl Placement {
    /// The matrix from positions in the placed picture to positions in the original one, `[3, 3]` by rows;
    /// coordinates are (right, down, 1) from the centre, in image sides.
    pub fn inverse(&self) -> [[f64; 3]; 3] {
        let (sin, cos) = self.angle.sin_cos();
        let linear = [[cos, -sin], [sin, cos]];
        let offset = |row: [f64; 2]| -(row[0] * self.right + row[1] * self.down);
        let row = |row: [f64; 2]| [row[0], row[1], offset(row)];
        [row(linear[0]), row(linear[1]), [0.0, 0.0, 1.0]]
    }
}

/// `w` `[n, w_dim]` to feature maps `[n, channels, size, size]`.
pub struct FourierFeatures {
    weight: Tensor,
    affine_weight: Tensor,
    affine_bias: Tensor,
    transform: Tensor,
    frequencies: Tensor,
    phases: Tensor,
    /// Positions of the samples along either axis, in image sides from the centre.
    positions: Tensor,
    bandwidth: f64,
    rate: i64,
}

impl FourierFeatures {
    /// Features with frequencies drawn from the disc of radius `band.cutoff`.
    pub fn new(mut scope: Scope<'_>, w_dim: i64, band: &Band) -> Self {
        let Band { cutoff: bandwidth, rate, size, channels, .. } = *band;
        let weight = scope.parameter("weight", &[channels, channels], Init::Normal(1.0));
        let mut affine = scope.sub("affine");
        let affine_weight = affine.parameter("weight", &[4, w_dim], Init::Constant(0.0));
        let affine_bias = affine.parameter("bias", &[4], Init::Constant(0.0));
        let transform = scope.buffer("transform", &[3, 3], Init::Constant(0.0));
        let frequencies = scope.buffer("freqs", &[channels, 2], Init::Normal(1.0));
        let phases = scope.buffer("phases", &[channels], Init::Uniform(0.5));
        tch::no_grad(|| {
            // The learnt transform begins as the identity: cosine 1, sine 0, no movement (appendix F.1).
            let _ = affine_bias.get(0).fill_(1.0);
            let _ = transform.shallow_clone().fill_diagonal_(1.0, false);
            // A normal vector of length r becomes one of length exp(-r^2 / 4), whose density falls like that of a
            // uniform disc towards its rim.
            let radius = frequencies.square().sum_dim_intlist([1i64].as_slice(), true, scope.kind()).sqrt();
            let length = (radius.square() * -0.25).exp() * bandwidth;
            frequencies.shallow_clone().copy_(&(&frequencies / radius * length));
        });
        let centre = size as f64 / 2.0;
        let positions: Vec<f64> = (0..size).map(|i| (i as f64 + 0.5 - centre) / rate as f64).collect();
        let positions = Tensor::from_slice(&positions).to_kind(scope.kind()).to_device(scope.device());
        Self {
            weight,
            affine_weight,
            affine_bias,
            transform,
            frequencies,
            phases,
            positions,
            bandwidth,
            rate,
        }
    }

    /// Puts the pictures of all images elsewhere. The transform is a buffer, saved with the network.
    pub fn place(&self, placement: Placement) {
        let rows = placement.inverse();
        let matrix = Tensor::from_slice(rows.as_flattened()).view([3, 3]);
        tch::no_grad(|| self.transform.shallow_clone().copy_(&matrix));
    }

    /// The user's transform `[3, 3]`, a buffer: from positions in the image to positions among the features.
    pub fn transform(&self) -> Tensor {
        self.transform.shallow_clone()
    }

    /// Feature maps of `w` `[n, w_dim]` in the parameters' kind; on every device in channels-last form.
    pub fn forward(&self, w: &Tensor) -> Tensor {
        let (n, kind) = (w.size()[0], w.kind());
        // The learnt transform (r_c, r_s, t_x, t_y), made a rotation by division by |(r_c, r_s)| (appendix F.1).
        let gain = 1.0 / (w.size()[1] as f64).sqrt();
        let t = w.linear(&(&self.affine_weight * gain), Some(&self.affine_bias));
        let t = &t / t.narrow(1, 0, 2).square().sum_dim_intlist([1i64].as_slice(), true, kind).sqrt();
        let (cos, sin) = (t.narrow(1, 0, 1), t.narrow(1, 1, 1));
        let rotation = Tensor::cat(&[&cos, &-&sin, &sin, &cos], 1).view([n, 2, 2]);
        let shift = -rotation.matmul(&t.narrow(1, 2, 2).unsqueeze(2));
        // The user's transform acts first on positions of the result: [n, 2, 3].
        let transform = Tensor::cat(&[rotation, shift], 2).matmul(&self.transform);

        // sin(2 pi (f . (A u + b) + phase)) = sin(2 pi ((f A) . u + (f . b + phase))).
        let turned = self.frequencies.matmul(&transform.narrow(2, 0, 2));
        let phases = &self.phases + self.frequencies.matmul(&transform.narrow(2, 2, 1)).squeeze_dim(2);
        // Frequencies that the transform carries beyond the band fade, and vanish where the rate cannot carry them.
        let length = turned.square().sum_dim_intlist([2i64].as_slice(), false, kind).sqrt();
        let highest = self.rate as f64 / 2.0;
        let amplitudes = ((highest - length) / (highest - self.bandwidth)).clamp(0.0, 1.0);

        let size = self.positions.size()[0];
        let along = |axis: i64, shape: [i64; 4]| {
            (self.positions.view([1, -1, 1]) * turned.select(2, axis).unsqueeze(1)).view(shape)
        };
        let channels = self.weight.size()[0];
        let columns = along(0, [n, 1, size, channels]);
        let rows = along(1, [n, size, 1, channels]) + phases.view([n, 1, 1, channels]);
        let waves = ((columns + rows) * TAU).sin() * amplitudes.view([n, 1, 1, channels]);
        let mixed = waves.matmul(&(&self.weight / (channels as f64).sqrt()).tr());
        mixed.permute([0, 3, 1, 2])
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::PI;

    use tch::{Device, Kind};

    use super::*;
    use crate::engine::ParametersBuilder;

    fn example() -> FourierFeatures {
        let mut builder = ParametersBuilder::with_kind(1, Device::Cpu, Kind::Double);
        let band = Band { cutoff: 2.0, half_width: 6.0, rate: 16, size: 36, channels: 8, critical: false };
        FourierFeatures::new(builder.root(), 4, &band)
    }

    fn maps(features: &FourierFeatures) -> Tensor {
        tch::no_grad(|| features.forward(&Tensor::zeros([1, 4], (Kind::Double, Device::Cpu))))
    }

    fn placed(placement: Placement) -> Tensor {
        let features = example();
        features.place(placement);
        maps(&features)
    }

    #[test]
    fn placements_move_and_turn_the_picture() {
        let original = placed(Placement::default());
        // Two samples to the right and one up, at 16 samples per image side.
        let moved = placed(Placement { right: 2.0 / 16.0, down: -1.0 / 16.0, angle: 0.0 });
        let expected = original.narrow(2, 1, 35).narrow(3, 0, 34);
        let found = moved.narrow(2, 0, 35).narrow(3, 2, 34);
        assert!((found - expected).abs().max().double_value(&[]) < 1e-6);
        // A quarter turn counter-clockwise is what rot90 does.
        let turned = placed(Placement { angle: PI / 2.0, ..Placement::default() });
        assert!((turned - original.rot90(1, [2i64, 3])).abs().max().double_value(&[]) < 1e-6);
    }

    #[test]
    fn frequencies_that_the_rate_cannot_carry_vanish() {
        let features = example();
        let _ = tch::no_grad(|| features.transform().fill_diagonal_(100.0, false));
        assert_eq!(maps(&features).abs().max().double_value(&[]), 0.0);
    }
}

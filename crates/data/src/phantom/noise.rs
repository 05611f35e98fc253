//! Smooth random fields: sums of plane waves with random directions, lengths and phases.

use std::f64::consts::TAU;

use synthmr_core::random::Draw;

/// A point or vector in millimetres: left, posterior, superior.
pub(super) type Point = [f64; 3];

/// A smooth random field over space with mean 0 and standard deviation 1.
#[derive(Clone, Debug)]
pub(super) struct Field {
    waves: Vec<Wave>,
    amplitude: f64,
}

#[derive(Clone, Copy, Debug)]
struct Wave {
    /// Radians per millimetre.
    vector: Point,
    phase: f64,
}

impl Field {
    /// Draws a field of `count` waves whose lengths lie between `shortest_mm` and `longest_mm`.
    pub(super) fn draw(random: &mut impl Draw, count: usize, shortest_mm: f64, longest_mm: f64) -> Self {
        let waves = (0..count)
            .map(|_| {
                let direction = unit([random.normal(), random.normal(), random.normal()]);
                let length = random.uniform_in(shortest_mm, longest_mm);
                Wave { vector: direction.map(|x| x * TAU / length), phase: random.uniform_in(0.0, TAU) }
            })
            .collect();
        Self { waves, amplitude: (2.0 / count as f64).sqrt() }
    }

    /// The same field with every phase moved by a normal number of this standard deviation (radians): a
    /// relative of the first, the less alike the larger the number.
    pub(super) fn varied(&self, random: &mut impl Draw, radians: f64) -> Self {
        let mut field = self.clone();
        field.waves.iter_mut().for_each(|wave| wave.phase += radians * random.normal());
        field
    }

    /// The value at a point.
    pub(super) fn at(&self, p: Point) -> f64 {
        self.waves.iter().map(|wave| (dot(wave.vector, p) + wave.phase).cos()).sum::<f64>() * self.amplitude
    }

    /// The value and its gradient (per millimetre) at a point.
    pub(super) fn with_gradient(&self, p: Point) -> (f64, Point) {
        let (mut value, mut gradient) = (0.0, [0.0; 3]);
        for wave in &self.waves {
            let (sin, cos) = (dot(wave.vector, p) + wave.phase).sin_cos();
            value += cos;
            for (sum, k) in gradient.iter_mut().zip(wave.vector) {
                *sum -= sin * k;
            }
        }
        (value * self.amplitude, gradient.map(|x| x * self.amplitude))
    }
}

pub(super) fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn norm(a: Point) -> f64 {
    dot(a, a).sqrt()
}

pub(super) fn unit(a: Point) -> Point {
    let length = norm(a).max(f64::MIN_POSITIVE);
    a.map(|x| x / length)
}

pub(super) fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// 0 below `-width`, 1 above `width`, smooth between.
pub(super) fn step(x: f64, width: f64) -> f64 {
    let t = ((x + width) / (2.0 * width)).clamp(0.0, 1.0);
    t * t * (3.0 - 2.0 * t)
}

#[cfg(test)]
mod tests {
    use synthmr_core::random::{Stream, rng};

    use super::*;

    #[test]
    fn fields_have_unit_variance_and_the_gradient_they_claim() {
        let mut random = rng(1, Stream::Test, 0);
        let field = Field::draw(&mut random, 40, 20.0, 30.0);
        let (mut sum, mut squares, n) = (0.0, 0.0, 20_000);
        for _ in 0..n {
            let p = [0; 3].map(|_: i32| random.uniform_in(-500.0, 500.0));
            let value = field.at(p);
            sum += value;
            squares += value * value;
        }
        assert!((sum / f64::from(n)).abs() < 0.05 && (squares / f64::from(n) - 1.0).abs() < 0.05);
        let p = [3.0, -7.0, 11.0];
        let (value, gradient) = field.with_gradient(p);
        assert!((value - field.at(p)).abs() < 1e-12);
        for axis in 0..3 {
            let mut q = p;
            q[axis] += 1e-5;
            assert!(((field.at(q) - value) / 1e-5 - gradient[axis]).abs() < 1e-4);
        }
    }
}

//! Multi-scale structural similarity of two images (Wang, Simoncelli and Bovik 2003), for diversity: the mean over pairs of
//! images of one set (Odena et al. 2017). A set whose images resemble each other more than real ones do has lost some.
//!
//! Gaussian window of 11 pixels and deviation 1.5 without padding, K1 = 0.01, K2 = 0.03, range 255, halved by averages of
//! 2 x 2 pixels. The five scales need 161 pixels; smaller images have as many as keep the window inside, with the paper's
//! weights divided by their sum, and values of different numbers of scales cannot be compared. Negative terms count as 0.

/// Weights of the scales, the full resolution first (section 3.2 of the paper).
const WEIGHTS: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];

/// Side of the window.
const WINDOW: usize = 11;
const DEVIATION: f64 = 1.5;
/// Constants that keep the terms finite: (K range)^2.
const C1: f64 = (0.01 * 255.0) * (0.01 * 255.0);
const C2: f64 = (0.03 * 255.0) * (0.03 * 255.0);

/// Number of scales of an image; 0 when it is smaller than the window.
pub fn scales(height: usize, width: usize) -> usize {
    let side = height.min(width);
    (0..WEIGHTS.len()).take_while(|scale| side >> scale >= WINDOW).count()
}

/// Similarity of two planes `[height, width]`: 1 for equal ones, about 0 for unrelated ones; none when they are smaller
/// than the window.
pub fn ms_ssim(a: &[u8], b: &[u8], height: usize, width: usize) -> Option<f64> {
    let scales = scales(height, width);
    let total: f64 = WEIGHTS[..scales].iter().sum();
    let mut planes = [a, b].map(|plane| Plane::new(plane, height, width));
    let mut similarity = None;
    for (scale, weight) in WEIGHTS[..scales].iter().enumerate() {
        if scale > 0 {
            planes = planes.map(|plane| plane.halved());
        }
        let (structure, whole) = terms(&planes[0], &planes[1]);
        let term = if scale + 1 == scales { whole } else { structure };
        similarity = Some(similarity.unwrap_or(1.0) * term.max(0.0).powf(weight / total));
    }
    similarity
}

/// A plane of numbers.
struct Plane {
    values: Vec<f64>,
    height: usize,
    width: usize,
}

impl Plane {
    fn new(pixels: &[u8], height: usize, width: usize) -> Self {
        Self { values: pixels.iter().map(|&pixel| f64::from(pixel)).collect(), height, width }
    }

    /// Means of 2 x 2 pixels; a last odd row or column is left out.
    fn halved(&self) -> Self {
        let (height, width) = (self.height / 2, self.width / 2);
        let at = |y: usize, x: usize| self.values[y * self.width + x];
        let mean = |y: usize, x: usize| (at(y, x) + at(y, x + 1) + at(y + 1, x) + at(y + 1, x + 1)) / 4.0;
        let values = (0..height * width).map(|i| mean(2 * (i / width), 2 * (i % width))).collect();
        Self { values, height, width }
    }

    /// The products with another plane, pixel by pixel.
    fn times(&self, other: &Self) -> Self {
        let values = self.values.iter().zip(&other.values).map(|(a, b)| a * b).collect();
        Self { values, ..*self }
    }

    /// Weighted means over the window, wherever it fits.
    fn windowed(&self, window: &[f64; WINDOW]) -> Vec<f64> {
        let (height, width) = (self.height + 1 - WINDOW, self.width + 1 - WINDOW);
        let mut rows = Vec::with_capacity(self.height * width);
        for row in self.values.chunks_exact(self.width) {
            rows.extend(row.windows(WINDOW).map(|part| dot(part.iter().copied(), window)));
        }
        let column = |y: usize, x: usize| dot((0..WINDOW).map(|k| rows[(y + k) * width + x]), window);
        (0..height * width).map(|i| column(i / width, i % width)).collect()
    }
}

fn dot(values: impl Iterator<Item = f64>, window: &[f64; WINDOW]) -> f64 {
    values.zip(window).map(|(value, weight)| value * weight).sum()
}

fn window() -> [f64; WINDOW] {
    let middle = (WINDOW / 2) as f64;
    let bell = |i: usize| (-(i as f64 - middle).powi(2) / (2.0 * DEVIATION * DEVIATION)).exp();
    let sum: f64 = (0..WINDOW).map(bell).sum();
    std::array::from_fn(|i| bell(i) / sum)
}

/// Means over the plane of contrast times structure, and of that times luminance (equations 6 to 8).
fn terms(a: &Plane, b: &Plane) -> (f64, f64) {
    let window = window();
    let [mean_a, mean_b] = [a, b].map(|plane| plane.windowed(&window));
    let [square_a, square_b, product] =
        [a.times(a), b.times(b), a.times(b)].map(|plane| plane.windowed(&window));
    let (mut structure, mut whole) = (0.0, 0.0);
    for i in 0..mean_a.len() {
        let (ma, mb) = (mean_a[i], mean_b[i]);
        let (variance_a, variance_b) = (square_a[i] - ma * ma, square_b[i] - mb * mb);
        let contrast = (2.0 * (product[i] - ma * mb) + C2) / (variance_a + variance_b + C2);
        structure += contrast;
        whole += contrast * (2.0 * ma * mb + C1) / (ma * ma + mb * mb + C1);
    }
    let n = mean_a.len() as f64;
    (structure / n, whole / n)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_images_have_similarity_one_and_small_ones_none() {
        let a: Vec<u8> = (0..64 * 64).map(|i| (i * 7 % 251) as u8).collect();
        assert!((ms_ssim(&a, &a, 64, 64).unwrap() - 1.0).abs() < 1e-12);
        assert_eq!(ms_ssim(&a[..100], &a[..100], 10, 10), None);
        assert_eq!([10, 11, 22, 64, 161, 176, 256].map(|side| scales(side, side)), [0, 1, 2, 3, 4, 5, 5]);
    }
}

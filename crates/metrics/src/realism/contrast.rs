//! Whether the contrasts of an image belong together: a T1ce that shows another head than its T1 is no image of anyone.

/// Grey levels of the foreground are above this one, a twentieth of the range. Real background is 0; generators leave a few
/// grey levels of noise there, which must not make the whole background count as head.
pub const BACKGROUND: u8 = 12;

/// Pearson correlation of two contrasts `[pixels]` over the pixels where one of both is above [`BACKGROUND`]; none where one
/// is constant there. Background is left out: it is black in all contrasts, and would lift every value.
pub fn masked_correlation(first: &[u8], second: &[u8]) -> Option<f64> {
    let (mut n, mut sums, mut squares, mut product) = (0.0, [0.0; 2], [0.0; 2], 0.0);
    for (&a, &b) in first.iter().zip(second).filter(|(a, b)| **a > BACKGROUND || **b > BACKGROUND) {
        let values = [a, b].map(f64::from);
        n += 1.0;
        product += values[0] * values[1];
        for (i, value) in values.into_iter().enumerate() {
            sums[i] += value;
            squares[i] += value * value;
        }
    }
    // Sums of whole numbers: exact, so a constant contrast has a variance of exactly zero.
    let variance = |i: usize| n * squares[i] - sums[i] * sums[i];
    let scale = (variance(0) * variance(1)).sqrt();
    (scale > 0.0).then(|| (n * product - sums[0] * sums[1]) / scale)
}

/// All pairs of `channels` contrasts, in order.
pub fn pairs(channels: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..channels).flat_map(move |first| (first + 1..channels).map(move |second| (first, second)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn background_does_not_count() {
        let (a, b) = ([0, 20, 30, 40, 9], [9, 40, 30, 20, 12]);
        assert_eq!(masked_correlation(&a, &b), Some(-1.0));
        assert_eq!(masked_correlation(&a, &a), Some(1.0));
        assert_eq!(masked_correlation(&a, &[50; 5]), None, "constant");
        assert_eq!(masked_correlation(&[5; 5], &a.map(|level| level / 4)), None, "no foreground");
        assert_eq!(pairs(3).collect::<Vec<_>>(), [(0, 1), (0, 2), (1, 2)]);
    }
}

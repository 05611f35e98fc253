//! Power at each spatial frequency: what blur takes away, noise adds, and the grids of transposed convolutions leave.
//!
//! The power of a plane is averaged over rings of frequencies (Durall et al. 2020, equation 4): ring r holds the frequencies
//! whose distance from zero rounds to r cycles over the image. The mean power is left out (ring 0), so brightness does not
//! count. The distance of two sets is the root mean square difference of their mean profiles in decibels.

/// Rings of a plane, ring 0 left out.
pub fn rings(height: usize, width: usize) -> usize {
    height.min(width) / 2
}

/// Mean power in rings 1 to [`rings`] of `power` `[height, width / 2 + 1]`, the squared magnitudes of a plane's real
/// Fourier transform. The half that a real transform leaves out counts: its values are those of the half that is there.
pub fn profile(power: &[f32], height: usize, width: usize) -> Vec<f64> {
    let columns = width / 2 + 1;
    assert_eq!(power.len(), height * columns, "a real transform of the plane's size");
    let rings = rings(height, width);
    let (mut sums, mut counts) = (vec![0.0; rings], vec![0.0; rings]);
    // On planes that are not square, frequencies are in cycles over the shorter side.
    let side = height.min(width) as f64;
    let (per_row, per_column) = (side / height as f64, side / width as f64);
    for (row, line) in power.chunks_exact(columns).enumerate() {
        let y = row.min(height - row) as f64 * per_row;
        for (column, &value) in line.iter().enumerate() {
            let radius = y.hypot(column as f64 * per_column).round() as usize;
            let mirrored = column != 0 && 2 * column != width;
            let times = if mirrored { 2.0 } else { 1.0 };
            if let Some(ring) = radius.checked_sub(1).filter(|&ring| ring < rings) {
                sums[ring] += times * f64::from(value);
                counts[ring] += times;
            }
        }
    }
    sums.iter().zip(counts).map(|(sum, count)| sum / f64::max(count, 1.0)).collect()
}

/// Distance of two mean profiles in decibels; none when they are empty, or one has no power in a ring where the other has.
pub fn distance_db(a: &[f64], b: &[f64]) -> Option<f64> {
    let decibels = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { 10.0 * (b / a).log10() };
    let squares: f64 = a.iter().zip(b).map(decibels).map(|db| db * db).sum();
    let distance = (squares / a.len() as f64).sqrt();
    distance.is_finite().then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rings_hold_their_frequencies() {
        // 4 x 4: rings 1 and 2. Frequencies (0, 1), (1, 0), (1, 1) and their mirrors are in ring 1.
        let power = [9.0, 1.0, 4.0, 1.0, 1.0, 2.0, 4.0, 2.0, 8.0, 1.0, 1.0, 2.0];
        let found = profile(&power, 4, 4);
        assert_eq!(found[0], 1.0, "ring 1");
        // (0, 2): 4; (1, 2): 2 and 2; (2, 0): 4; (2, 1): 2, twice. (2, 2) is 2.8 away: ring 3.
        assert!((found[1] - (4.0 + 2.0 + 2.0 + 4.0 + 2.0 * 2.0) / 6.0).abs() < 1e-12, "{found:?}");
    }

    #[test]
    fn a_factor_is_a_difference_in_decibels() {
        assert_eq!(distance_db(&[1.0, 5.0], &[10.0, 50.0]), Some(10.0));
        assert_eq!(distance_db(&[0.0, 5.0], &[0.0, 5.0]), Some(0.0));
        assert_eq!(distance_db(&[0.0], &[1.0]), None);
        assert_eq!(distance_db(&[], &[]), None);
    }
}

//! Distance of two distributions of a number: grey levels of a contrast, areas of a class.
//!
//! The Wasserstein distance of order 1 (earth mover's distance): how far, on average, the values of one have to move to
//! become the other. It is in the units of the values, and it sees a shift as a shift.

/// Between two histograms over the same bins of `width`, each made to sum to 1; none when one is empty.
pub fn wasserstein_of_histograms(a: &[f64], b: &[f64], width: f64) -> Option<f64> {
    let (sum_a, sum_b): (f64, f64) = (a.iter().sum(), b.iter().sum());
    if sum_a <= 0.0 || sum_b <= 0.0 {
        return None;
    }
    let (mut difference, mut moved) = (0.0, 0.0f64);
    for (a, b) in a.iter().zip(b) {
        difference += a / sum_a - b / sum_b;
        moved += difference.abs();
    }
    Some(moved * width)
}

/// Between two samples of finite values; none when one is empty.
pub fn wasserstein_of_samples(a: &[f64], b: &[f64]) -> Option<f64> {
    if a.is_empty() || b.is_empty() {
        return None;
    }
    let sorted = |values: &[f64]| {
        let mut values = values.to_vec();
        values.sort_by(f64::total_cmp);
        values
    };
    let (a, b) = (sorted(a), sorted(b));
    let share = |passed: usize, of: &[f64]| passed as f64 / of.len() as f64;
    let (mut i, mut j, mut moved) = (0, 0, 0.0);
    let mut last = a[0].min(b[0]);
    // The area between both cumulative distributions, from value to value.
    while i < a.len() || j < b.len() {
        let next = match (a.get(i), b.get(j)) {
            (Some(a), Some(b)) => a.min(*b),
            (Some(a), None) => *a,
            (None, Some(b)) => *b,
            (None, None) => last,
        };
        moved += (share(i, &a) - share(j, &b)).abs() * (next - last);
        last = next;
        i += a[i..].iter().take_while(|&&value| value <= next).count();
        j += b[j..].iter().take_while(|&&value| value <= next).count();
    }
    Some(moved)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shift_is_its_own_distance() {
        let a = [0.0, 3.0, 1.0, 0.0, 0.0];
        let b = [0.0, 0.0, 0.0, 6.0, 2.0];
        assert_eq!(wasserstein_of_histograms(&a, &b, 4.0), Some(8.0));
        assert_eq!(wasserstein_of_histograms(&a, &[0.0; 5], 4.0), None);
        assert_eq!(wasserstein_of_samples(&[1.0, 5.0, 2.0], &[4.5, 8.5, 5.5]), Some(3.5));
        assert_eq!(wasserstein_of_samples(&[1.0], &[]), None);
        // Half of the mass moves by 2.
        assert_eq!(wasserstein_of_samples(&[0.0, 0.0, 2.0, 2.0], &[2.0]), Some(1.0));
    }
}

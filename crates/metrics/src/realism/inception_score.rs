//! Inception Score (Salimans et al. 2016): exp of the mean over images of KL(p(y | x) || p(y)), where p(y | x) are the class
//! probabilities that a network for photographs gives to an image, and p(y) their mean over the set.
//!
//! It looks at the synthetic set alone. With the ImageNet classes it asks whether MR images resemble different kinds of
//! photographed things; the study found that it does not follow segmentation performance. It is here because people ask.

use super::{FeatureError, Features};

/// The usual number of splits.
pub const SPLITS: usize = 10;

/// Mean and spread over the splits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct InceptionScore {
    /// Mean over the splits; from 1 to the number of classes.
    pub mean: f64,
    /// Standard deviation over the splits (n in the denominator).
    pub deviation: f64,
}

/// The score of `probabilities`, a row an image, over `splits` parts of consecutive images.
///
/// # Errors
/// [`FeatureError::TooFew`] when a split would be empty.
pub fn inception_score(probabilities: Features<'_>, splits: usize) -> Result<InceptionScore, FeatureError> {
    let n = probabilities.rows();
    if n < splits || splits == 0 {
        return Err(FeatureError::TooFew { metric: "inception score", needed: splits.max(1), found: n });
    }
    let scores: Vec<f64> =
        (0..splits).map(|split| score(probabilities, split * n / splits, (split + 1) * n / splits)).collect();
    let mean = scores.iter().sum::<f64>() / splits as f64;
    let variance = scores.iter().map(|score| (score - mean).powi(2)).sum::<f64>() / splits as f64;
    Ok(InceptionScore { mean, deviation: variance.sqrt() })
}

fn score(probabilities: Features<'_>, start: usize, end: usize) -> f64 {
    let mut marginal = vec![0.0; probabilities.dims()];
    let mut negative_entropy = 0.0;
    for row in start..end {
        for (sum, &p) in marginal.iter_mut().zip(probabilities.row(row)) {
            *sum += f64::from(p);
            negative_entropy += p_log_p(f64::from(p));
        }
    }
    let n = (end - start) as f64;
    // Mean KL = mean negative entropy of the rows - negative entropy of their mean.
    let of_mean: f64 = marginal.iter().map(|sum| p_log_p(sum / n)).sum();
    (negative_entropy / n - of_mean).exp()
}

fn p_log_p(p: f64) -> f64 {
    if p > 0.0 { p * p.ln() } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn certain_and_diverse_sets_score_the_number_of_classes() {
        let certain: Vec<f32> = (0..16).map(|i| f32::from(u8::from(i % 5 == 0))).collect();
        let found = inception_score(Features::new(&certain, 4).unwrap(), 1).unwrap();
        assert!((found.mean - 4.0).abs() < 1e-12 && found.deviation == 0.0, "{found:?}");
        let alike = [0.25f32; 16];
        let found = inception_score(Features::new(&alike, 4).unwrap(), 2).unwrap();
        assert!((found.mean - 1.0).abs() < 1e-12);
        assert!(inception_score(Features::new(&alike, 4).unwrap(), 5).is_err());
    }
}

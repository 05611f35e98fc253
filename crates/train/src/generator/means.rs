//! Means of what the steps measured since the last tick.

use std::collections::BTreeMap;

use tch::Tensor;

use super::Measured;
use crate::TrainError;

/// Sums on the device, so that a step does not wait for them. They are part of the state, so that a resumed
/// run logs the same means.
#[derive(Default)]
pub struct Means {
    sums: BTreeMap<String, (Tensor, u64)>,
}

impl Means {
    /// Adds what a step measured.
    pub fn add(&mut self, measured: &Measured) {
        for (name, value) in measured {
            let entry = self.sums.entry((*name).to_owned()).or_insert_with(|| (value.zeros_like(), 0));
            entry.0 = value + &entry.0.to_device(value.device());
            entry.1 += 1;
        }
    }

    /// The means, which begin anew.
    ///
    /// # Errors
    /// [`TrainError::NotFinite`] with the name of a mean that is not a finite number.
    pub fn take(&mut self, images_seen: u64) -> Result<BTreeMap<String, f64>, TrainError> {
        let sums = std::mem::take(&mut self.sums);
        let mean = |(name, (sum, count)): (String, (Tensor, u64))| {
            let value = sum.double_value(&[]) / count as f64;
            if value.is_finite() {
                Ok((name, value))
            } else {
                Err(TrainError::NotFinite { what: name, images_seen })
            }
        };
        sums.into_iter().map(mean).collect()
    }

    /// Sums and counts by name, for a checkpoint; an f32 sum survives as f64.
    pub(super) fn saved(&self) -> BTreeMap<String, (f64, u64)> {
        let entry =
            |(name, (sum, count)): (&String, &(Tensor, u64))| (name.clone(), (sum.double_value(&[]), *count));
        self.sums.iter().map(entry).collect()
    }

    /// The inverse of [`Self::saved`].
    pub(super) fn restored(saved: BTreeMap<String, (f64, u64)>) -> Self {
        let entry = |(name, (sum, count)): (String, (f64, u64))| (name, (Tensor::from(sum as f32), count));
        Self { sums: saved.into_iter().map(entry).collect() }
    }
}

/// Refuses values that are not finite. Reading them waits for a GPU.
///
/// # Errors
/// [`TrainError::NotFinite`] with the value's name.
pub(super) fn check_finite(measured: &Measured, images_seen: u64) -> Result<(), TrainError> {
    match measured.iter().find(|(_, value)| !value.double_value(&[]).is_finite()) {
        Some((name, _)) => Err(TrainError::NotFinite { what: (*name).to_owned(), images_seen }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(loss: f32) -> Measured {
        vec![("loss", Tensor::from(loss)), ("fake_logit", Tensor::from(-1.0f32))]
    }

    #[test]
    fn means_survive_a_checkpoint() {
        let mut means = Means::default();
        means.add(&measured(0.1));
        let mut means = Means::restored(means.saved());
        means.add(&measured(0.3));
        let taken = means.take(8).unwrap();
        assert!((taken["loss"] - 0.2).abs() < 1e-7, "{taken:?}");
        assert_eq!(taken["fake_logit"], -1.0);
        assert!(means.take(8).unwrap().is_empty());
    }

    #[test]
    fn a_loss_that_is_not_a_number_is_named_with_its_moment() {
        let message = check_finite(&measured(f32::NAN), 640).unwrap_err().to_string();
        assert!(message.contains("loss") && message.contains("640"), "{message}");
        assert!(check_finite(&measured(1.0), 640).is_ok());
        let mut means = Means::default();
        means.add(&measured(f32::INFINITY));
        assert!(means.take(640).is_err());
    }
}

//! What is looked at at every checkpoint, so that a training that goes wrong is seen before it has cost weeks.
//!
//! Images with fixed numbers are drawn from the averaged generator and compared with fixed samples of training images
//! and of held-out ones (the part `val` of the same store), as planes of at most [`SIDE`] pixels a side. The distance
//! of two images is their root mean squared difference over pixels and planes.
//!
//! * `diversity`: mean distance among the drawn images, as a share of that among real ones. Near zero the generator has
//!   collapsed.
//! * `copying`: share of the drawn images that are nearer to a training image than to any held-out one, in samples of
//!   equal size. One half by chance; near one the generator repeats what it was shown.
//! * `energy_distance` (Szekely and Rizzo 2013) to held-out images, or to training images where none are held out. The
//!   snapshot with the lowest one is kept as the best.
//!
//! The samples are small: these are alarms, not measurements of realism or privacy.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use synthmr_core::Split;
use synthmr_core::random::{self, Draw, Stream};
use synthmr_data::store::SliceStore;
use tch::{Kind, Tensor};

use super::trainer::encoded;
use crate::TrainError;
use crate::config::require;
use crate::planes::Planes;

/// Largest side of the planes that are compared.
const SIDE: i64 = 32;

/// Images of each sample of real ones.
const REALS: usize = 512;

/// Images read at once: at 512x512 with 5 planes they take 170 MB.
const READ_AT_ONCE: usize = 32;

/// What is looked at, and what stops a training.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InspectionConfig {
    /// Images drawn at every checkpoint; 0 for no inspection.
    pub images: u64,
    /// Diversity below which a training has collapsed; 0 never stops.
    pub min_diversity: f64,
    /// Copying above which a training memorises; 1 never stops.
    pub max_copying: f64,
    /// Mean `real_sign` above which a GAN's discriminator has won; 1 never stops.
    pub max_real_sign: f64,
    /// Inspections in a row that must find the same kind of fault before the training stops.
    pub patience: u64,
}

impl InspectionConfig {
    pub(super) fn validate(&self) -> Result<(), TrainError> {
        let images = self.images;
        require(images == 0 || (2..=4096).contains(&images), "inspection.images", "0, or 2 to 4096", images)?;
        for (key, value, range, expected) in [
            ("inspection.min_diversity", self.min_diversity, 0.0..=1.0, "0 to 1"),
            ("inspection.max_copying", self.max_copying, 0.0..=1.0, "0 to 1"),
            ("inspection.max_real_sign", self.max_real_sign, -1.0..=1.0, "-1 to 1"),
        ] {
            require(range.contains(&value), key, expected, value)?;
        }
        require(self.patience >= 1, "inspection.patience", "1 or more", self.patience)
    }

    /// The rule that an inspection breaks, in words.
    pub(super) fn fault(&self, health: &Health, real_sign: Option<f64>) -> Option<String> {
        let copying = health.copying.filter(|&copying| copying > self.max_copying);
        let real_sign = real_sign.filter(|&sign| sign > self.max_real_sign);
        if health.diversity < self.min_diversity {
            let (found, least) = (health.diversity, self.min_diversity);
            Some(format!("collapse: diversity is {found:.3}, inspection.min_diversity {least}"))
        } else if let Some(found) = copying {
            Some(format!("memorisation: copying is {found:.3}, inspection.max_copying {}", self.max_copying))
        } else {
            let most = self.max_real_sign;
            real_sign.map(|found| {
                format!("the discriminator has won: real_sign is {found:.3}, inspection.max_real_sign {most}")
            })
        }
    }
}

/// What an inspection found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Health {
    pub(super) diversity: f64,
    /// None where no images are held out.
    pub(super) copying: Option<f64>,
    pub(super) energy_distance: f64,
}

impl Health {
    /// Values with their names in the log.
    pub(super) fn values(&self) -> impl Iterator<Item = (String, f64)> {
        let always = [("diversity", self.diversity), ("energy_distance", self.energy_distance)];
        let copying = self.copying.map(|copying| ("copying", copying));
        always.into_iter().chain(copying).map(|(name, value)| (name.to_owned(), value))
    }
}

/// Real images to compare with.
pub(super) struct Inspector {
    /// `[n, values]`.
    training: Tensor,
    /// As many, unless none are held out.
    held_out: Option<Tensor>,
    real_diversity: f64,
    within_reference: f64,
}

impl Inspector {
    /// Samples of the training images `indices` and of the store's part `val`.
    ///
    /// # Errors
    /// [`TrainError`] when the store cannot be read.
    pub(super) fn new(
        store: &SliceStore,
        indices: &[u32],
        planes: &Planes,
        seed: u64,
    ) -> Result<Self, TrainError> {
        let held_out = store.select(Some(Split::Val)).unwrap_or_default();
        // Images that are learnt from are not held out: the part `val` itself can be trained on.
        let learnt: BTreeSet<u32> = indices.iter().copied().collect();
        let held_out: Vec<u32> = held_out.into_iter().filter(|index| !learnt.contains(index)).collect();
        let most = if held_out.len() < 2 { REALS } else { REALS.min(held_out.len()) };
        let sample = |indices: &[u32], number: u64| -> Result<Tensor, TrainError> {
            let mut indices = indices.to_vec();
            random::rng(seed, Stream::Inspection, number).shuffle(&mut indices);
            indices.truncate(most);
            let rows: Result<Vec<Tensor>, TrainError> = indices
                .chunks(READ_AT_ONCE)
                .map(|part| Ok(compared(&encoded(store, planes, part)?)))
                .collect();
            Ok(Tensor::cat(&rows?, 0))
        };
        let training = sample(indices, 0)?;
        let held_out = if held_out.len() < 2 { None } else { Some(sample(&held_out, 1)?) };
        let real_diversity = mean_within(&training);
        let within_reference = held_out.as_ref().map_or(real_diversity, mean_within);
        Ok(Self { training, held_out, real_diversity, within_reference })
    }

    /// Compares drawn images, planes `[n, planes, r, r]` in [-1, 1], with the real ones.
    pub(super) fn inspect(&self, drawn: &Tensor) -> Health {
        let drawn = compared(drawn);
        let within = mean_within(&drawn);
        let reference = self.held_out.as_ref().unwrap_or(&self.training);
        let across = distances(&drawn, reference).mean(Kind::Double).double_value(&[]);
        let copying = self.held_out.as_ref().map(|held_out| {
            let nearest = |reals: &Tensor| distances(&drawn, reals).amin([1i64].as_slice(), false);
            // Samples of equal size: the smaller one decides.
            let count = held_out.size()[0].min(self.training.size()[0]);
            let nearer = nearest(&self.training.narrow(0, 0, count))
                .lt_tensor(&nearest(&held_out.narrow(0, 0, count)));
            nearer.to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
        });
        Health {
            diversity: within / self.real_diversity.max(f64::MIN_POSITIVE),
            copying,
            energy_distance: 2.0 * across - within - self.within_reference,
        }
    }
}

/// Planes as rows of at most [`SIDE`] x [`SIDE`] values each, on the CPU, scaled so that distances are root mean squares.
fn compared(planes: &Tensor) -> Tensor {
    let factor = (planes.size()[2] / SIDE).max(1);
    let small = planes.avg_pool2d([factor, factor], [factor, factor], [0, 0], false, true, None);
    let rows = small.flatten(1, -1).to_device(tch::Device::Cpu);
    let values = rows.size()[1] as f64;
    rows / values.sqrt()
}

/// Euclidean distances `[n, m]` of rows.
fn distances(a: &Tensor, b: &Tensor) -> Tensor {
    const WITHOUT_MATRIX_PRODUCT: i64 = 2;
    // The product cancels where two rows are nearly the same, which is where distances matter here.
    Tensor::cdist(a, b, 2.0, WITHOUT_MATRIX_PRODUCT)
}

/// Mean distance of two different rows.
fn mean_within(rows: &Tensor) -> f64 {
    let n = rows.size()[0] as f64;
    if n < 2.0 { 0.0 } else { distances(rows, rows).sum(Kind::Double).double_value(&[]) / (n * (n - 1.0)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    fn inspector(training: &Tensor, held_out: Option<&Tensor>) -> Inspector {
        let (training, held_out) = (compared(training), held_out.map(compared));
        let real_diversity = mean_within(&training);
        let within_reference = held_out.as_ref().map_or(real_diversity, mean_within);
        Inspector { training, held_out, real_diversity, within_reference }
    }

    fn noise(seed: i64) -> Tensor {
        tch::manual_seed(seed);
        Tensor::randn([64, 2, 16, 16], (Kind::Float, Device::Cpu)) * 0.3
    }

    #[test]
    fn new_images_of_the_same_kind_are_healthy() {
        let health = inspector(&noise(1), Some(&noise(2))).inspect(&noise(3));
        assert!((health.diversity - 1.0).abs() < 0.05, "{health:?}");
        // 64 fair coins: five standard errors are 0.31.
        assert!((health.copying.unwrap() - 0.5).abs() < 0.31, "{health:?}");
        assert!(health.energy_distance.abs() < 0.02, "{health:?}");
    }

    #[test]
    fn collapse_copies_and_another_distribution_are_seen() {
        let (training, held_out) = (noise(1), noise(2));
        let with_control = inspector(&training, Some(&held_out));
        let one = training.narrow(0, 0, 1).expand([64, -1, -1, -1], false);
        assert!(with_control.inspect(&one).diversity < 1e-3);
        assert_eq!(with_control.inspect(&(&training + noise(3) * 0.2)).copying, Some(1.0));
        assert_eq!(with_control.inspect(&held_out).copying, Some(0.0));
        let healthy = with_control.inspect(&noise(4)).energy_distance;
        assert!(with_control.inspect(&(noise(4) + 0.3)).energy_distance > healthy + 0.05);
        let alone = inspector(&training, None).inspect(&noise(4));
        assert!(alone.copying.is_none() && alone.energy_distance.abs() < 0.02);
    }

    #[test]
    fn every_rule_finds_its_fault() {
        let config = InspectionConfig {
            images: 8,
            min_diversity: 0.2,
            max_copying: 0.9,
            max_real_sign: 0.95,
            patience: 2,
        };
        let well = Health { diversity: 0.9, copying: Some(0.5), energy_distance: 0.1 };
        assert_eq!(config.fault(&well, Some(0.5)), None);
        assert_eq!(config.fault(&Health { copying: None, ..well }, None), None);
        let found = |health, sign| config.fault(&health, sign).unwrap();
        assert!(found(Health { diversity: 0.1, ..well }, None).starts_with("collapse"));
        assert!(found(Health { copying: Some(0.95), ..well }, None).starts_with("memorisation"));
        assert!(found(well, Some(0.99)).starts_with("the discriminator has won"));
    }
}

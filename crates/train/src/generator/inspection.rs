//! What is looked at at every checkpoint, so that a training that goes wrong is seen before it has cost weeks.
//!
//! Images with fixed numbers are drawn from the averaged generator and compared with training images and with held-out
//! ones (the part `val` of the same store). The distance of two images is their root mean squared difference over planes
//! and pixels, averaged over blocks to a side of at most [`SIDE`], and of [`SEARCH_SIDE`] for the nearest.
//!
//! * `diversity`: mean distance among the drawn images, as a share of that among real ones. Near zero the generator has
//!   collapsed.
//! * `energy_distance` (Szekely and Rizzo 2013) to held-out images, or to training images where none are held out. The
//!   snapshot with the lowest one is kept as the best.
//! * `copying`: the share of the drawn images whose nearest training image is conspicuously nearer than their nearest
//!   held-out one. Conspicuous is a ratio of the two distances below that of 95 % of other held-out subjects' images, so
//!   that 0.05 is what chance gives with many held-out subjects, and near one the generator repeats what it was shown. With
//!   two or three of them the limit is that of one subject's anatomy, and chance can give several times as much. Mirror
//!   images count. It needs two held-out subjects with [`CONTROLS`] slices.
//!
//! The images are few and coarse: these are alarms, not measurements of realism or privacy.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use synthmr_core::Split;
use synthmr_core::random::{self, Draw, Stream};
use synthmr_data::store::SliceStore;
use tch::{Device, Kind, Tensor};

use super::trainer::encoded;
use crate::TrainError;
use crate::config::require;
use crate::planes::Planes;

/// Largest side of the planes that are compared.
const SIDE: i64 = 32;
/// Largest side of the planes among which the nearest is searched.
const SEARCH_SIDE: i64 = 16;
/// Real images of each sample for diversity and energy distance.
const SAMPLE: usize = 512;
/// Most training images that are searched: 16x16 planes of so many take 170 MB with 5 planes.
const SEARCHED: usize = 32_768;
/// Images read at once: at 512x512 with 5 planes they take 170 MB.
const READ_AT_ONCE: usize = 32;
/// Share of held-out images that count as conspicuous.
const CHANCE: f64 = 0.05;
/// Fewest held-out images that say what is conspicuous.
const CONTROLS: usize = 20;
/// Added to distances, so that slices that are equal everywhere count as equally near; a grey level is 0.008.
const EQUAL: f64 = 1e-4;

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
        require(images == 0 || (8..=4096).contains(&images), "inspection.images", "0, or 8 to 4096", images)?;
        for (key, value, range, expected) in [
            ("inspection.min_diversity", self.min_diversity, 0.0..=1.0, "0 to 1"),
            ("inspection.max_copying", self.max_copying, 0.0..=1.0, "0 to 1"),
            ("inspection.max_real_sign", self.max_real_sign, -1.0..=1.0, "-1 to 1"),
        ] {
            require(range.contains(&value), key, expected, value)?;
        }
        let quiet = self.min_diversity == 0.0 && self.max_copying == 1.0 && self.max_real_sign == 1.0;
        require(images > 0 || quiet, "inspection.images", "8 or more, for there are rules", images)?;
        require(self.patience >= 1, "inspection.patience", "1 or more", self.patience)
    }

    /// The rules that an inspection breaks, and how.
    pub(super) fn faults(&self, health: &Health, real_sign: Option<f64>) -> BTreeMap<Fault, String> {
        let words = |name: &str, found: f64, key: &str, limit: f64| {
            format!("{name} is {found:.3}, inspection.{key} {limit}")
        };
        let collapse = health.diversity.filter(|&found| found < self.min_diversity);
        let copying = health.copying.filter(|&found| found > self.max_copying);
        let lost = real_sign.filter(|&found| found > self.max_real_sign);
        let faults = [
            collapse.map(|found| {
                (Fault::Collapse, words("diversity", found, "min_diversity", self.min_diversity))
            }),
            copying
                .map(|found| (Fault::Memorisation, words("copying", found, "max_copying", self.max_copying))),
            lost.map(|found| {
                (Fault::LostGame, words("real_sign", found, "max_real_sign", self.max_real_sign))
            }),
        ];
        faults.into_iter().flatten().collect()
    }
}

/// What can go wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fault {
    /// The images are nearly the same.
    Collapse,
    /// The images are training images.
    Memorisation,
    /// The discriminator has won.
    LostGame,
}

impl Fault {
    /// In words.
    pub(super) fn name(self) -> &'static str {
        match self {
            Fault::Collapse => "collapse",
            Fault::Memorisation => "memorisation",
            Fault::LostGame => "the discriminator has won",
        }
    }
}

/// What an inspection found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Health {
    /// None where all real images are the same.
    pub(super) diversity: Option<f64>,
    /// None with fewer than two held-out subjects.
    pub(super) copying: Option<f64>,
    pub(super) energy_distance: f64,
}

impl Health {
    /// Values with their names in the log.
    pub(super) fn values(&self) -> impl Iterator<Item = (String, f64)> {
        let values = [
            ("diversity", self.diversity),
            ("copying", self.copying),
            ("energy_distance", Some(self.energy_distance)),
        ];
        values.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)))
    }
}

/// Real images to compare with.
pub(super) struct Inspector {
    /// A sample of held-out images, of training images where none are held out: `[n, planes, side, side]`.
    reference: Tensor,
    within_reference: f64,
    search: Option<Search>,
}

/// Where the nearest real images are searched.
struct Search {
    training: Tensor,
    /// Images of every other held-out subject.
    held_out: Tensor,
    /// The ratio of distances that is conspicuous, from the images of the other held-out subjects.
    conspicuous: f64,
}

impl Inspector {
    /// Compares with the training images `indices` and the store's part `val`.
    ///
    /// # Errors
    /// [`TrainError`] when the store cannot be read.
    pub(super) fn new(
        store: &SliceStore,
        indices: &[u32],
        planes: &Planes,
        seed: u64,
    ) -> Result<Self, TrainError> {
        // Images that are learnt from are not held out: the part `val` itself can be trained on.
        let learnt: BTreeSet<u32> = indices.iter().copied().collect();
        let held_out = store.select(Some(Split::Val)).unwrap_or_default();
        let held_out: Vec<u32> = held_out.into_iter().filter(|index| !learnt.contains(index)).collect();
        let shrunk = |indices: &[u32], most: usize, side: i64, number: u64| -> Result<Tensor, TrainError> {
            let mut indices = indices.to_vec();
            random::rng(seed, Stream::Inspection, number).shuffle(&mut indices);
            indices.truncate(most);
            let parts: Result<Vec<Tensor>, TrainError> = indices
                .chunks(READ_AT_ONCE)
                .map(|part| Ok(averaged(&encoded(store, planes, part)?, side).to_device(Device::Cpu)))
                .collect();
            Ok(Tensor::cat(&parts?, 0))
        };
        let reference = if held_out.len() < 2 { indices } else { &held_out };
        let reference = shrunk(reference, SAMPLE, SIDE, 0)?;
        let subjects: BTreeSet<Option<u32>> =
            held_out.iter().map(|&index| store.subject(index as usize)).collect();
        let odd: BTreeSet<Option<u32>> = subjects.into_iter().skip(1).step_by(2).collect();
        let (controls, held_out): (Vec<u32>, Vec<u32>) =
            held_out.into_iter().partition(|&index| odd.contains(&store.subject(index as usize)));
        let search = if controls.len() < CONTROLS {
            None
        } else {
            let training = shrunk(indices, SEARCHED, SEARCH_SIDE, 1)?;
            let held_out = shrunk(&held_out, SEARCHED, SEARCH_SIDE, 2)?;
            Some(Search::new(training, held_out, &shrunk(&controls, SAMPLE, SEARCH_SIDE, 3)?))
        };
        Ok(Self::with(reference, search))
    }

    fn with(reference: Tensor, search: Option<Search>) -> Self {
        let within_reference = mean_within(&reference);
        Self { reference, within_reference, search }
    }

    /// Compares drawn images, as [`averaged`] to [`SIDE`], with the real ones.
    pub(super) fn inspect(&self, drawn: &Tensor) -> Health {
        let within = mean_within(drawn);
        let across = distances(drawn, &self.reference).mean(Kind::Double).double_value(&[]);
        let copying = self.search.as_ref().map(|search| {
            let ratios = search.ratios(&averaged(drawn, SEARCH_SIDE));
            ratios.lt(search.conspicuous).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
        });
        Health {
            diversity: (self.within_reference > 0.0).then(|| within / self.within_reference),
            copying,
            energy_distance: 2.0 * across - within - self.within_reference,
        }
    }
}

impl Search {
    fn new(training: Tensor, held_out: Tensor, controls: &Tensor) -> Self {
        let mut search = Self { training, held_out, conspicuous: 0.0 };
        let ratios = search.ratios(controls);
        search.conspicuous = ratios.quantile_scalar(CHANCE, None, false, "linear").double_value(&[]);
        search
    }

    /// Distance to the nearest training image, over that to the nearest held-out one: `[n]`.
    fn ratios(&self, images: &Tensor) -> Tensor {
        let mirrored = images.flip([3]);
        let nearest = |reals: &Tensor| {
            let one = distances(images, reals).amin([1i64].as_slice(), false);
            one.minimum(&distances(&mirrored, reals).amin([1i64].as_slice(), false))
        };
        (nearest(&self.training) + EQUAL) / (nearest(&self.held_out) + EQUAL)
    }
}

/// Planes `[n, planes, r, r]` averaged over blocks to a side of at most `side`.
pub(super) fn averaged(planes: &Tensor, side: i64) -> Tensor {
    let factor = (planes.size()[2] / side).max(1);
    planes.avg_pool2d([factor, factor], [factor, factor], [0, 0], false, true, None)
}

/// Largest side of what [`Inspector::inspect`] compares.
pub(super) fn inspected_side() -> i64 {
    SIDE
}

/// Root mean squared differences `[n, m]` of images.
fn distances(a: &Tensor, b: &Tensor) -> Tensor {
    const WITHOUT_MATRIX_PRODUCT: i64 = 2;
    let (a, b) = (a.flatten(1, -1), b.flatten(1, -1));
    let values = a.size()[1] as f64;
    // The product cancels where two images are nearly the same, which is where distances matter here.
    Tensor::cdist(&a, &b, 2.0, WITHOUT_MATRIX_PRODUCT) / values.sqrt()
}

/// Mean distance of two different images.
fn mean_within(images: &Tensor) -> f64 {
    let n = images.size()[0] as f64;
    if n < 2.0 {
        0.0
    } else {
        distances(images, images).sum(Kind::Double).double_value(&[]) / (n * (n - 1.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noise(seed: i64) -> Tensor {
        tch::manual_seed(seed);
        Tensor::randn([64, 2, 16, 16], (Kind::Float, Device::Cpu)) * 0.3
    }

    fn inspector(training: &Tensor) -> Inspector {
        let search = Search::new(training.shallow_clone(), noise(2), &noise(3));
        Inspector::with(noise(2), Some(search))
    }

    #[test]
    fn new_images_of_the_same_kind_are_healthy() {
        let health = inspector(&noise(1)).inspect(&noise(4));
        assert!((health.diversity.unwrap() - 1.0).abs() < 0.05, "{health:?}");
        // 64 chances of one in twenty: 3.2 expected, hardly ever more than 11.
        assert!(health.copying.unwrap() < 0.18, "{health:?}");
        assert!(health.energy_distance.abs() < 0.02, "{health:?}");
    }

    #[test]
    fn collapse_copies_and_another_distribution_are_seen() {
        let training = noise(1);
        let inspector = inspector(&training);
        let one = training.narrow(0, 0, 1).expand([64, -1, -1, -1], false);
        assert!(inspector.inspect(&one).diversity.unwrap() < 1e-3);
        // Half of the images are noisy copies, some of them mirrored.
        let copies = Tensor::cat(&[training.narrow(0, 0, 16), training.narrow(0, 16, 16).flip([3])], 0);
        let copies = Tensor::cat(&[copies + noise(5).narrow(0, 0, 32) * 0.2, noise(6).narrow(0, 0, 32)], 0);
        let copying = inspector.inspect(&copies).copying.unwrap();
        assert!((0.5..0.65).contains(&copying), "{copying}");
        assert_eq!(inspector.inspect(&noise(2)).copying, Some(0.0));
        let healthy = inspector.inspect(&noise(4)).energy_distance;
        assert!(inspector.inspect(&(noise(4) + 0.3)).energy_distance > healthy + 0.05);
        let alone = Inspector::with(training, None).inspect(&noise(4));
        assert!(alone.copying.is_none() && alone.energy_distance.abs() < 0.02);
    }

    /// A copy of one image among very many is found, whichever it is.
    #[test]
    fn the_whole_training_set_is_searched() {
        tch::manual_seed(7);
        let training = Tensor::randn([3000, 1, 16, 16], (Kind::Float, Device::Cpu));
        let others = |n| Tensor::randn([n, 1, 16, 16], (Kind::Float, Device::Cpu));
        let search = Search::new(training.shallow_clone(), others(60), &others(60));
        let copies = training.narrow(0, 2900, 16) + others(16) * 0.3;
        assert!(search.ratios(&copies).lt(search.conspicuous).all().int64_value(&[]) == 1);
        // Blurred images are near everything, and are no copies.
        let blurred = others(64) * 0.2;
        let share = search.ratios(&blurred).lt(search.conspicuous).to_kind(Kind::Double).mean(Kind::Double);
        assert!(share.double_value(&[]) < 0.4, "{share:?}");
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
        let well = Health { diversity: Some(0.9), copying: Some(0.5), energy_distance: 0.1 };
        let found = |health, sign| config.faults(&health, sign).into_keys().collect::<Vec<_>>();
        assert_eq!(found(well, Some(0.5)), []);
        assert_eq!(found(Health { copying: None, ..well }, None), []);
        assert_eq!(found(Health { diversity: Some(0.1), ..well }, None), [Fault::Collapse]);
        assert_eq!(found(Health { copying: Some(0.95), ..well }, None), [Fault::Memorisation]);
        let both = Health { diversity: Some(0.1), copying: Some(0.95), energy_distance: 0.1 };
        assert_eq!(found(both, Some(0.99)), [Fault::Collapse, Fault::Memorisation, Fault::LostGame]);
    }
}

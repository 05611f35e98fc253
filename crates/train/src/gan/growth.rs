//! Growing from small images to large ones (Karras et al. 2018, section 2).

use serde::{Deserialize, Serialize};
use synthmr_nets::generators::growing::{doubled, halved};
use tch::Tensor;

use crate::TrainError;
use crate::config::require;
use crate::generator::GeneratorConfig;

/// When and how networks grow. The lists have an entry for each level below the full resolution, the smallest
/// images first, so that their length says where growing begins; empty lists are for no growth.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GrowthConfig {
    /// Images in a step at each level.
    pub batches: Vec<u64>,
    /// Learning rates at each level, as a share of those at the full resolution.
    pub rate_shares: Vec<f64>,
    /// Images for which a level stands before the next one begins to fade in.
    pub level_images: u64,
    /// Images in which a level fades in.
    pub fade_images: u64,
    /// Forget the optimisers' moments whenever a level begins to fade in or has done so, as published.
    pub reset_optimiser: bool,
}

impl GrowthConfig {
    /// What happens at a level: fading in over so many images (not the first level), then standing.
    pub(crate) fn stretches(&self, level: usize) -> Vec<Option<u64>> {
        let fade = (level > 0 && self.fade_images > 0).then_some(Some(self.fade_images));
        fade.into_iter().chain([None]).collect()
    }

    pub(super) fn validate(&self, common: &GeneratorConfig) -> Result<(), TrainError> {
        // The smallest images have 4x4 pixels.
        let levels = u64::from(common.resolution.ilog2()) - 2;
        let count = self.batches.len();
        let expected = format!("at most {levels} numbers, one a level below the full resolution");
        require(count as u64 <= levels, "growth.batches", &expected, count)?;
        let sizes = self.batches.iter().all(|batch| (1..=4096).contains(batch));
        require(sizes, "growth.batches", "1 to 4096 each", format!("{:?}", self.batches))?;
        let shares = self.rate_shares.iter().all(|share| *share > 0.0 && *share <= 100.0);
        let expected = format!("{count} numbers above 0, one a level");
        let found = format!("{:?}", self.rate_shares);
        require(shares && self.rate_shares.len() == count, "growth.rate_shares", &expected, found)?;
        let most = 1_000_000_000;
        require(
            (1..=most).contains(&self.level_images),
            "growth.level_images",
            "1 to 1e9",
            self.level_images,
        )?;
        require(self.fade_images <= most, "growth.fade_images", "0 to 1e9", self.fade_images)?;
        let grown = common.schedule().grown_after() as f64 / 1000.0;
        let expected = format!("more than {grown} with this growth: the full resolution comes after so many");
        require(common.kimg > grown, "kimg", &expected, common.kimg)
    }
}

/// Real images as they are at a level of detail: `[n, c, r, r] -> [n, c, r / 2^k, r / 2^k]` with `k` the whole part of
/// `lod`, and blended with the next smaller ones by the rest, as those of the generator are.
pub(super) fn shrunk(reals: &Tensor, lod: f64) -> Tensor {
    let reals = (0..lod as u64).fold(reals.shallow_clone(), |reals, _| halved(&reals));
    let below = lod.fract();
    if below == 0.0 { reals } else { reals.lerp(&doubled(&halved(&reals)), below) }
}

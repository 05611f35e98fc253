//! Where a training stands after so many images: step, batch size and, for networks that grow, the level of detail.
//! All of it is a function of the images seen, so that nothing of it has to be saved.

use super::GeneratorConfig;
use crate::gan::GrowthConfig;

/// A stretch of training with one batch size.
#[derive(Clone, Debug, PartialEq)]
struct Phase {
    first_image: u64,
    first_step: u64,
    batch: u64,
    /// Level of detail at its end: levels that are still missing.
    missing: u64,
    /// Images over which the level fades in; 0 when it stands.
    fade: u64,
    rate_share: f64,
}

/// The phases of a training.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    phases: Vec<Phase>,
    total_images: u64,
}

/// A place in a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Position {
    /// Steps before this one.
    pub step: u64,
    /// Images of this step.
    pub batch: u64,
    /// Level of detail: 0 at full resolution, k where images are 2^k times smaller.
    pub lod: f64,
    /// Factor of the learning rates.
    pub rate_share: f64,
    /// True where a level begins to fade in, or has just done so.
    pub changes: bool,
}

impl Schedule {
    /// The schedule of a validated configuration.
    pub(super) fn new(config: &GeneratorConfig, growth: Option<&GrowthConfig>) -> Self {
        let mut phases = Vec::new();
        let (mut first_image, mut first_step) = (0, 0);
        let last_batch = config.batch as u64;
        if let Some(growth) = growth.filter(|growth| !growth.batches.is_empty()) {
            let levels = growth.batches.len();
            for (level, (&batch, &rate_share)) in growth.batches.iter().zip(&growth.rate_shares).enumerate() {
                let missing = (levels - level) as u64;
                for fade in growth.stretches(level) {
                    let steps = fade.unwrap_or(growth.level_images).div_ceil(batch);
                    let images = steps * batch;
                    let fade = if fade.is_some() { images } else { 0 };
                    phases.push(Phase { first_image, first_step, batch, missing, fade, rate_share });
                    first_image += images;
                    first_step += steps;
                }
            }
            if growth.fade_images > 0 {
                let steps = growth.fade_images.div_ceil(last_batch);
                let fade = steps * last_batch;
                let batch = last_batch;
                phases.push(Phase { first_image, first_step, batch, missing: 0, fade, rate_share: 1.0 });
                first_image += fade;
                first_step += steps;
            }
        }
        let last = Phase { first_image, first_step, batch: last_batch, missing: 0, fade: 0, rate_share: 1.0 };
        phases.push(last);
        let mut schedule = Self { phases, total_images: 0 };
        // Whole batches, so that the last step is like the others.
        let wanted = (config.kimg * 1000.0).ceil() as u64;
        let phase = schedule.phase_at(wanted.saturating_sub(1));
        schedule.total_images =
            phase.first_image + (wanted - phase.first_image).div_ceil(phase.batch) * phase.batch;
        schedule
    }

    /// Images to be shown in all.
    pub fn total_images(&self) -> u64 {
        self.total_images
    }

    /// Images until the last level stands.
    pub(crate) fn grown_after(&self) -> u64 {
        self.phases.last().map_or(0, |phase| phase.first_image)
    }

    fn phase_at(&self, images_seen: u64) -> &Phase {
        let after = self.phases.partition_point(|phase| phase.first_image <= images_seen);
        &self.phases[after - 1]
    }

    /// The step that begins after `images_seen` images.
    pub fn at(&self, images_seen: u64) -> Position {
        let phase = self.phase_at(images_seen);
        let within = images_seen - phase.first_image;
        let fading = if phase.fade == 0 {
            0.0
        } else {
            // At the end of the step, so that the first one already shows something of the new level.
            1.0 - (within + phase.batch) as f64 / phase.fade as f64
        };
        Position {
            step: phase.first_step + within / phase.batch,
            batch: phase.batch,
            // As the networks store it: what they are shown must be of the size that they take.
            lod: f64::from((phase.missing as f64 + fading.max(0.0)) as f32),
            rate_share: phase.rate_share,
            changes: within == 0 && images_seen > 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::generator::PRESETS;

    fn configuration(settings: &[&str]) -> GeneratorConfig {
        let settings: Vec<String> = settings.iter().map(|&text| text.to_owned()).collect();
        config::resolve(PRESETS, Some("progan-tiny-64"), None, &settings).unwrap()
    }

    #[test]
    fn a_schedule_is_what_its_definition_says() {
        let config = configuration(&[
            "resolution=16",
            "kimg=0.301",
            "batch=4",
            "growth.batches=[16, 8]",
            "growth.rate_shares=[0.25, 0.5]",
            "growth.level_images=40",
            "growth.fade_images=20",
        ]);
        config.validate().unwrap();
        let schedule = config.schedule();
        // 4x4: 3 steps of 16; 8x8: 3 fading and 5 steps of 8; 16x16: 5 fading steps of 4, then steps of 4.
        let mut seen = 0;
        let mut found = Vec::new();
        while seen < 132 {
            let at = schedule.at(seen);
            assert_eq!(at.step as usize, found.len());
            found.push((at.batch, at.lod, at.rate_share, at.changes));
            seen += at.batch;
        }
        let mut expected = vec![(16, 2.0, 0.25, false); 3];
        expected.extend([
            (8, 2.0 - 1.0 / 3.0, 0.5, true),
            (8, 2.0 - 2.0 / 3.0, 0.5, false),
            (8, 1.0, 0.5, false),
        ]);
        expected.push((8, 1.0, 0.5, true));
        expected.extend([(8, 1.0, 0.5, false); 4]);
        expected.push((4, 0.8, 1.0, true));
        expected.extend([0.6, 0.4, 0.2, 0.0].map(|lod| (4, lod, 1.0, false)));
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(&expected) {
            assert_eq!((found.0, found.2, found.3), (expected.0, expected.2, expected.3));
            assert!((found.1 - expected.1).abs() < 1e-6, "{found:?} {expected:?}");
        }
        assert!(schedule.at(132).changes && schedule.grown_after() == 132);
        assert_eq!(schedule.total_images(), 304);
        assert_eq!(schedule.at(300).step, 16 + (300 - 132) / 4);
    }

    #[test]
    fn a_training_without_growth_has_one_batch_size() {
        let config: GeneratorConfig =
            config::resolve(PRESETS, Some("stylegan2-tiny-64"), None, &["kimg=0.1".to_owned()]).unwrap();
        let schedule = config.schedule();
        assert_eq!(schedule.total_images(), 104);
        let expected = Position { step: 12, batch: 8, lod: 0.0, rate_share: 1.0, changes: false };
        assert_eq!(schedule.at(96), expected);
    }
}

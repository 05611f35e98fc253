//! Configuration of a generator's training. Every value has its place in `presets/*.toml`; nothing is
//! hidden in code.

use serde::{Deserialize, Serialize};
use synthmr_core::{LabelEncoding, limits};

use super::{InspectionConfig, Schedule};
use crate::TrainError;
use crate::config::{Preset, preset, require};
use crate::diffusion::DiffusionConfig;
use crate::gan::{GanConfig, GanSettings, ProGanSizes, StyleGan1Sizes, StyleGan2Sizes, StyleGan3Sizes};

/// The generators' presets, in the order in which they are listed.
pub const PRESETS: &[Preset] = &[
    preset!("edm-tiny-64", "diffusion (EDM) at 64x64 that learns the phantom cohort in minutes on two cores"),
    preset!(
        "edm-paper-256",
        "EDM on the study's network at 256x256: published settings, 35 network calls an image, for GPUs"
    ),
    preset!(
        "diffusion-tiny-64",
        "the study's kind of diffusion at 64x64, small; what it learns in minutes is not measured"
    ),
    preset!(
        "diffusion-paper-256",
        "diffusion as in the study: 41.1 million parameters, 4,000 network calls an image, for GPUs"
    ),
    preset!(
        "flow-tiny-64",
        "rectified flow at 64x64, small: after minutes on two cores its images have shapes and strong grain"
    ),
    preset!("flow-paper-256", "rectified flow on the study's network at 256x256, for GPUs"),
    preset!(
        "progan-tiny-64",
        "Progressive GAN at 64x64 that learns the phantom cohort in minutes on two cores"
    ),
    preset!("progan-paper-256", "Progressive GAN at 256x256 as in the study: 15,000 kimg, for GPUs"),
    preset!(
        "stylegan1-tiny-64",
        "StyleGAN 1 at 64x64, small; minutes on two cores give outlines and no classes, hours better ones"
    ),
    preset!("stylegan1-paper-256", "StyleGAN 1 at 256x256 as in the study: 25,000 kimg, for GPUs"),
    preset!(
        "stylegan2-tiny-64",
        "StyleGAN 2 at 64x64, small; minutes on two cores give blurred images, hours better ones"
    ),
    preset!("stylegan2-paper-256", "StyleGAN 2 at 256x256 as in the study: 25,000 kimg, batch 32, for GPUs"),
    preset!(
        "stylegan3-t-tiny-64",
        "StyleGAN 3-t at 64x64, small; its filters are dear: minutes on two cores give outlines only"
    ),
    preset!(
        "stylegan3-t-paper-256",
        "StyleGAN 3-t at 256x256 as in the study: 25,000 kimg, batch 32, for GPUs"
    ),
    preset!(
        "stylegan3-r-tiny-64",
        "StyleGAN 3-r at 64x64, small; slower than stylegan3-t-tiny-64, and never trained to the end"
    ),
    preset!("stylegan3-r-paper-256", "StyleGAN 3-r at 256x256 as published: 25,000 kimg, batch 32, for GPUs"),
    preset!(
        "r3gan-tiny-64",
        "R3GAN's loss on the networks of stylegan2-tiny-64: brains in minutes on two cores, few distinct ones"
    ),
    preset!("r3gan-paper-256", "R3GAN's loss on the study's StyleGAN 2 at 256x256, for GPUs"),
];

/// Everything that decides what a generator's training computes, beside the data.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct GeneratorConfig {
    /// Side of the images in pixels; must be the store's.
    pub resolution: i64,
    /// How the annotation is carried: one grey plane, or one plane a class.
    pub labels: LabelEncoding,
    /// Seed of everything random.
    pub seed: u64,
    /// Length of the training, in thousands of real images shown.
    pub kimg: f64,
    /// Images in a step.
    pub batch: i64,
    /// Images between two lines of the log.
    pub tick_images: u64,
    /// Images between two checkpoints and sample grids.
    pub checkpoint_images: u64,
    /// Mirror half of the images left to right.
    pub mirror: bool,
    /// Half-life of the moving average of the generator's weights, in images.
    pub ema_half_life_images: f64,
    /// Relative length of a power-function average, which takes the place of the half-life; 0 for none. It is the
    /// standard deviation of the profile as a share of the training so far (sigma_rel of Karras et al. 2024,
    /// arXiv 2312.02696, section 3); 0.05 to 0.10 suits diffusion models.
    pub ema_length: f64,
    /// The half-life is at most this share of the images seen so far, so that early averages forget the start.
    pub ema_rampup: f64,
    /// What is looked at at every checkpoint.
    pub inspection: InspectionConfig,
    /// What the family of networks adds; the key `architecture` names it.
    #[serde(flatten)]
    pub family: Family,
}

/// Families of generators with their own settings.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "architecture", rename_all = "lowercase")]
pub enum Family {
    /// Progressive GAN, Karras et al. 2018.
    ProGan(GanConfig<ProGanSizes>),
    /// Karras et al. 2019.
    StyleGan1(GanConfig<StyleGan1Sizes>),
    /// Karras et al. 2020.
    StyleGan2(GanConfig<StyleGan2Sizes>),
    /// Karras et al. 2021.
    StyleGan3(GanConfig<StyleGan3Sizes>),
    /// A network that takes noise away, with any of several processes.
    Diffusion(DiffusionConfig),
}

/// What a family is trained as.
#[derive(Clone, Copy)]
pub enum FamilyKind<'a> {
    /// Two networks, one against the other.
    Gan(&'a dyn GanSettings),
    /// One network that takes noise away.
    Diffusion(&'a DiffusionConfig),
}

impl Family {
    /// What the family is trained as.
    pub fn kind(&self) -> FamilyKind<'_> {
        match self {
            Family::ProGan(gan) => FamilyKind::Gan(gan),
            Family::StyleGan1(gan) => FamilyKind::Gan(gan),
            Family::StyleGan2(gan) => FamilyKind::Gan(gan),
            Family::StyleGan3(gan) => FamilyKind::Gan(gan),
            Family::Diffusion(diffusion) => FamilyKind::Diffusion(diffusion),
        }
    }
}

impl GeneratorConfig {
    /// Steps, batches and levels of detail by images seen.
    pub fn schedule(&self) -> Schedule {
        match self.family.kind() {
            FamilyKind::Gan(gan) => Schedule::new(self, gan.rules().growth.as_ref()),
            FamilyKind::Diffusion(_) => Schedule::new(self, None),
        }
    }

    /// The same on large images from the first step on.
    pub fn without_growth(&self) -> Self {
        let mut config = self.clone();
        match &mut config.family {
            Family::ProGan(gan) => gan.growth = None,
            Family::StyleGan1(gan) => gan.growth = None,
            Family::StyleGan2(_) | Family::StyleGan3(_) | Family::Diffusion(_) => {}
        }
        config
    }

    /// Share of the averaged weights that survives a batch which ends after `images_seen` images: by a half-life
    /// in images, shorter at the start, or by a power of the images seen.
    pub(crate) fn ema_decay(&self, images_seen: u64, batch: u64) -> f64 {
        if self.ema_length > 0.0 {
            // Equation 1 of Karras et al. 2024.
            let kept = 1.0 - batch as f64 / images_seen as f64;
            return kept.powf(power_of_length(self.ema_length) + 1.0);
        }
        let half_life = self.ema_half_life_images.min(images_seen as f64 * self.ema_rampup);
        if half_life > 0.0 { 0.5f64.powf(batch as f64 / half_life) } else { 0.0 }
    }

    /// Checks every value that could break a run hours later.
    ///
    /// # Errors
    /// [`TrainError::Config`] with the key, the accepted values and the value found.
    pub fn validate(&self) -> Result<(), TrainError> {
        let resolution = self.resolution;
        let power_of_two = resolution >= 8 && resolution & (resolution - 1) == 0;
        require(
            power_of_two && resolution <= limits::RESOLUTION as i64,
            "resolution",
            "a power of two from 8 to 1024",
            resolution,
        )?;
        require(self.kimg > 0.0 && self.kimg <= 1e7, "kimg", "more than 0, at most 10,000,000", self.kimg)?;
        require((1..=4096).contains(&self.batch), "batch", "1 to 4096", self.batch)?;
        require(self.tick_images > 0, "tick_images", "more than 0", self.tick_images)?;
        require(self.checkpoint_images > 0, "checkpoint_images", "more than 0", self.checkpoint_images)?;
        let half_life = self.ema_half_life_images;
        require(half_life >= 0.0 && half_life.is_finite(), "ema_half_life_images", "0 or more", half_life)?;
        require(self.ema_rampup > 0.0, "ema_rampup", "more than 0", self.ema_rampup)?;
        let length = self.ema_length;
        let fits = length == 0.0 || (0.005..=0.28).contains(&length);
        require(fits, "ema_length", "0, or 0.005 to 0.28", length)?;
        self.inspection.validate()?;
        // JSON, in which the configuration is kept, has no other numbers.
        let settings = serde_json::to_value(self).unwrap_or_default();
        if let Some(key) = key_without_value(&settings, "") {
            return Err(TrainError::Setting { key, expected: "a finite number".into() });
        }
        match &self.family {
            Family::ProGan(gan) => gan.validate(self),
            Family::StyleGan1(gan) => gan.validate(self),
            Family::StyleGan2(gan) => gan.validate(self),
            Family::StyleGan3(gan) => gan.validate(self),
            Family::Diffusion(diffusion) => diffusion.validate(self),
        }
    }
}

/// The first key, dotted, that JSON has no value for: a number that is not finite.
fn key_without_value(settings: &serde_json::Value, prefix: &str) -> Option<String> {
    match settings {
        serde_json::Value::Object(fields) => fields.iter().find_map(|(name, value)| {
            let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
            key_without_value(value, &key)
        }),
        serde_json::Value::Array(values) => values.iter().find_map(|value| key_without_value(value, prefix)),
        serde_json::Value::Null => Some(prefix.to_owned()),
        _ => None,
    }
}

/// The power gamma whose profile t^gamma has this relative length (Karras et al. 2024, appendix C.2):
/// `length^2 = (gamma + 1) / ((gamma + 2)^2 (gamma + 3))`, which falls with gamma.
fn power_of_length(length: f64) -> f64 {
    let length_of = |gamma: f64| ((gamma + 1.0) / ((gamma + 2.0).powi(2) * (gamma + 3.0))).sqrt();
    let (mut low, mut high) = (0.0, 1.0);
    while length_of(high) > length {
        high *= 2.0;
    }
    for _ in 0..80 {
        let middle = (low + high) / 2.0;
        if length_of(middle) > length { low = middle } else { high = middle }
    }
    (low + high) / 2.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;

    /// The powers that Karras et al. 2024 give for their two tracked averages (section 3.1).
    #[test]
    fn powers_are_the_published_ones() {
        assert!((power_of_length(0.05) - 16.97).abs() < 0.01);
        assert!((power_of_length(0.10) - 6.94).abs() < 0.01);
    }

    #[test]
    fn a_power_average_has_the_length_it_is_named_by() {
        let sets = ["ema_length=0.1".to_owned()];
        let config: GeneratorConfig = config::resolve(PRESETS, Some("edm-tiny-64"), None, &sets).unwrap();
        let (steps, batch) = (4000u64, 8);
        // The weight that the average gives to the parameters after each step.
        let mut weights: Vec<f64> = Vec::new();
        for step in 1..=steps {
            let decay = config.ema_decay(step * batch, batch);
            weights.iter_mut().for_each(|weight| *weight *= decay);
            weights.push(1.0 - decay);
        }
        let time = |step: usize| (step + 1) as f64 / steps as f64;
        let moment = |power: i32| {
            weights.iter().enumerate().map(|(i, weight)| weight * time(i).powi(power)).sum::<f64>()
        };
        assert!((moment(0) - 1.0).abs() < 1e-9);
        let deviation = (moment(2) - moment(1).powi(2)).sqrt();
        assert!((deviation - 0.1).abs() < 1e-3, "{deviation}");
    }
}

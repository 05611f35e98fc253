//! Whether a trained generator tells its training images from others: scores that are to be larger for images that it
//! learnt from. What they say of subjects is for statistics to decide, elsewhere.
//!
//! [`MembershipScores`] is what a kind of generator offers; [`MembershipTarget`] is a run with them.

mod diffusion;
mod discriminator;
mod latent;

use std::path::Path;

use synthmr_core::records::InputRecord;
use synthmr_data::store::SliceStore;
use tch::{Device, Tensor};

use crate::gan::{DISCRIMINATOR, GanSource, Place};
use crate::generator::{AVERAGE, FamilyKind, encoded};
use crate::opened::OpenedGenerator;
use crate::planes::Planes;
use crate::run::TrainedRun;
use crate::{TrainError, Watch};
use diffusion::DenoisingLoss;
use discriminator::DiscriminatorScore;
use latent::NearestLatent;

/// Slices scored at once.
const SCORED_AT_ONCE: usize = 16;

/// An attack: a score with its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attack {
    /// Short name.
    pub name: String,
    /// What the score is, in a sentence.
    pub score: String,
}

impl Attack {
    fn new(name: &str, score: &str) -> Self {
        Self { name: name.to_owned(), score: score.to_owned() }
    }
}

/// Scores of images by what a model makes of them.
pub trait MembershipScores {
    /// The attacks, the one that is reported first.
    fn attacks(&self) -> Vec<Attack>;

    /// A list of scores for each attack, a score for each of the images, f32 planes `[n, planes, r, r]` in [-1, 1]: larger
    /// where the model seems to know an image. A score depends on its image alone, up to the last bits.
    fn scores(&self, images: &Tensor) -> Vec<Vec<f64>>;
}

/// How scores are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MembershipOptions {
    /// Seed of noise and latents.
    pub seed: u64,
    /// Steps towards the nearest latent of a GAN.
    pub latent_steps: u64,
}

/// A generator's run, ready to be attacked.
pub struct MembershipTarget {
    run: TrainedRun,
    planes: Planes,
    resolution: usize,
    scores: Vec<Box<dyn MembershipScores>>,
    folder: String,
}

impl MembershipTarget {
    /// Opens the run in `folder`. A diffusion model is attacked through its denoising loss. A GAN's discriminator is asked
    /// where the run has one; and the latent is searched whose image is nearest.
    ///
    /// # Errors
    /// [`TrainError`] when the folder is not a generator's run, was never trained or is damaged, and when what it was
    /// trained on is not known.
    pub fn load(folder: &Path, options: MembershipOptions, device: Device) -> Result<Self, TrainError> {
        let OpenedGenerator { mut run, config, precision, planes } = OpenedGenerator::open(folder, device)?;
        if let Some(weights) = &run.record.adopted {
            return Err(TrainError::Mismatch {
                what: format!("{}: training images", folder.display()),
                expected: "a run that says what it was trained on".into(),
                found: format!("weights from elsewhere ({})", weights.name),
                hint: "membership is measured on models that were trained here".into(),
            });
        }
        let misfit = |source| TrainError::Weights { path: folder.to_owned(), source };
        let average = run.checkpoint.take(AVERAGE);
        let scores: Vec<Box<dyn MembershipScores>> = match config.family.kind() {
            FamilyKind::Diffusion(diffusion) => {
                let loss =
                    DenoisingLoss::new(&config, diffusion, planes.count(), options.seed, device, precision);
                loss.denoiser().network.parameters.load(&average).map_err(misfit)?;
                vec![Box::new(loss)]
            }
            FamilyKind::Gan(gan) => {
                let place = Place::new(&config, planes.count(), device, precision);
                let source = GanSource::new(gan.networks(), &place);
                source.generator.parameters().load(&average).map_err(misfit)?;
                source.generator.parameters().set_requires_grad(false);
                let weights = run.checkpoint.take(DISCRIMINATOR);
                let mut scores: Vec<Box<dyn MembershipScores>> = Vec::new();
                if !weights.is_empty() {
                    let discriminator = gan.networks().discriminator(&place);
                    discriminator.parameters().load(&weights).map_err(misfit)?;
                    discriminator.parameters().set_requires_grad(false);
                    scores.push(Box::new(DiscriminatorScore::new(discriminator)));
                }
                scores.push(Box::new(NearestLatent::new(source, options.seed, options.latent_steps)));
                scores
            }
        };
        let resolution = config.resolution as usize;
        Ok(Self { run, planes, resolution, scores, folder: folder.display().to_string() })
    }

    /// The stores that the model was trained on.
    pub fn trained_on(&self) -> &[InputRecord] {
        &self.run.record.inputs
    }

    /// The run in records.
    pub fn record(&self, name: &str) -> InputRecord {
        InputRecord {
            name: name.to_owned(),
            digest: self.run.digest.clone(),
            split: String::new(),
            weight: None,
            images: self.run.record.inputs.iter().map(|input| input.images).sum(),
        }
    }

    /// What a person should know about the run, such as a damaged checkpoint passed over.
    pub fn notes(&self) -> &[String] {
        &self.run.notes
    }

    /// The attacks, the one that is reported first.
    pub fn attacks(&self) -> Vec<Attack> {
        self.scores.iter().flat_map(|scores| scores.attacks()).collect()
    }

    /// A list of scores for each attack, a score for each of the slices `indices`; none when the watch asks to stop.
    ///
    /// # Errors
    /// [`TrainError`] when the store cannot be read, has images of another form than the model's, or a score is not
    /// finite.
    pub fn score(
        &self,
        store: &SliceStore,
        indices: &[u32],
        watch: &mut dyn Watch,
    ) -> Result<Option<Vec<Vec<f64>>>, TrainError> {
        self.check_form(store)?;
        let mut all = vec![Vec::with_capacity(indices.len()); self.attacks().len()];
        for (done, part) in indices.chunks(SCORED_AT_ONCE).enumerate() {
            if watch.should_stop() {
                return Ok(None);
            }
            let images = encoded(store, &self.planes, part)?;
            let scores = self.scores.iter().flat_map(|scores| scores.scores(&images));
            for (all, scores) in all.iter_mut().zip(scores) {
                if scores.iter().any(|score| !score.is_finite()) {
                    return Err(TrainError::Drawn { what: format!("a membership score of {}", self.folder) });
                }
                all.extend(scores);
            }
            watch.progress((done * SCORED_AT_ONCE + part.len()) as u64, indices.len() as u64);
        }
        Ok(Some(all))
    }

    fn check_form(&self, store: &SliceStore) -> Result<(), TrainError> {
        let manifest = store.manifest();
        let form = |side: [usize; 2], channels: &[String], classes: Vec<String>| {
            format!("{}x{}, {}, {}", side[0], side[1], channels.join(", "), classes.join(", "))
        };
        let record = &self.run.record;
        let expected = form([self.resolution; 2], &record.channels, record.labels.class_names());
        let found =
            form([manifest.height, manifest.width], &manifest.channels, manifest.labels.class_names());
        if expected == found {
            return Ok(());
        }
        Err(TrainError::Mismatch {
            what: format!("images of {}", store.path().display()),
            expected: format!("{expected}, those of {}", self.folder),
            found,
            hint: "give the store that the model was trained on".into(),
        })
    }
}

/// A value `[n]` for each image: the mean of its squares, in f32 whatever the kind.
fn mean_square(x: &Tensor) -> Tensor {
    x.to_kind(tch::Kind::Float).square().mean_dim([1i64, 2, 3].as_slice(), false, tch::Kind::Float)
}

/// The values of a tensor on the host.
fn values(x: &Tensor) -> Vec<f64> {
    Vec::<f64>::try_from(x.to_kind(tch::Kind::Double).to_device(Device::Cpu)).unwrap_or_default()
}

//! The loop around the steps: data, logs, checkpoints, pictures, stopping and resuming.

use std::path::Path;

use synthmr_core::Split;
use synthmr_core::random::{self, Draw, Stream};
use synthmr_core::records::{EngineRecord, InputRecord, ModelKind, RunRecord, SCHEMA, Tool};
use synthmr_data::store::SliceStore;
use synthmr_nets::engine::Precision;
use tch::{Device, Tensor};

use super::grid::Gallery;
use super::means::check_finite;
use super::state::Training;
use super::{GeneratorConfig, division};
use crate::batches::BatchOrder;
use crate::label_counts::LabelCounts;
use crate::planes::Planes;
use crate::run::Run;
use crate::{Outcome, TrainError, Watch, ended};

/// What a generator is trained on and with.
pub struct GeneratorJob<'a> {
    /// The configuration.
    pub config: &'a GeneratorConfig,
    /// The store.
    pub store: &'a SliceStore,
    /// Name of the store in records, without its folder.
    pub store_name: &'a str,
    /// The part of the store; `train` when not given.
    pub split: Option<Split>,
    /// Devices of the networks, at least one: the first is the master, each takes an equal share of every batch.
    pub devices: &'a [Device],
    /// Arithmetic of the convolutions.
    pub precision: Precision,
    /// What goes into `run.json` about the engine.
    pub engine: EngineRecord,
}

/// Trains in `folder` until all images have been shown, a rule of the inspections stops it, or the watch asks to stop;
/// run again, it resumes.
///
/// # Errors
/// [`TrainError`]: a configuration that does not fit the store or the number of devices, a folder in use or of another run, a
/// checkpoint that cannot be written, weights or losses that are not finite.
pub fn train(job: &GeneratorJob<'_>, folder: &Path, watch: &mut dyn Watch) -> Result<Outcome, TrainError> {
    let config = job.config;
    config.validate()?;
    division::check(config, job.devices.len() as u64)?;
    let indices = job.indices()?;
    let mut run = Run::start(folder, &job.record(&indices), watch)?;
    let schedule = config.schedule();
    let total = schedule.total_images();
    if run.is_finished() {
        watch.note("the run is complete; nothing to do");
        return Ok(ended(run.stopped(), watch));
    }

    let manifest = job.store.manifest();
    let planes = Planes::new(manifest.channels.len(), &manifest.labels, config.labels, job.devices[0]);
    let mut training = Training::new(job, &planes);
    if let Some(checkpoint) = run.latest_checkpoint(watch)? {
        training.restore(checkpoint, folder)?;
        watch.note(&format!("resuming after {} of {total} images", training.images_seen));
    }
    run.begin_events(training.last_tick())?;
    let mut gallery = None;
    let mut batches = Batches::new(job, &planes, indices.clone());
    let mut saved_at = training.images_seen;
    let mut clock = (watch.seconds(), training.images_seen);
    loop {
        if training.inspection_due {
            // The checkpoint is saved: drawing can take minutes, and is not worth losing steps for.
            let gallery = match &mut gallery {
                Some(gallery) => gallery,
                none => none.insert(Gallery::new(job, &indices, &planes)?),
            };
            let mut tick = training.tick(&mut clock, watch.seconds())?;
            let Some(drawn) = gallery.draw(&training, &|| watch.should_stop())? else {
                return Ok(Outcome::Interrupted);
            };
            training.inspect(gallery, &drawn, &mut tick);
            run.tick(&tick, watch)?;
            run.save_samples(training.images_seen, &gallery.picture(&drawn))?;
            clock.0 = watch.seconds();
        }
        if training.images_seen >= total || training.stopped().is_some() {
            break;
        }
        if watch.should_stop() {
            if training.images_seen > saved_at {
                training.save(&run)?;
            }
            return Ok(Outcome::Interrupted);
        }
        let before = training.images_seen;
        let batch = schedule.at(before).batch;
        let reals = batches.next(before, batch)?;
        let measured = training.step(&reals, batch);
        // On the CPU reading a value is free, so divergence is found in the step in which it happens.
        if planes.device() == Device::Cpu {
            check_finite(&measured, training.images_seen)?;
        }
        watch.progress(training.images_seen, total);

        let crossed = |interval: u64| before / interval != training.images_seen / interval;
        if crossed(config.checkpoint_images) || training.images_seen >= total {
            training.inspection_due = true;
            training.save(&run)?;
            saved_at = training.images_seen;
        } else if crossed(config.tick_images) {
            let tick = training.tick(&mut clock, watch.seconds())?;
            run.tick(&tick, watch)?;
        }
    }
    training.save(&run)?;
    let stopped = training.stopped().map(|reason| format!("after {} images, {reason}", training.images_seen));
    run.finish(training.images_seen, stopped.clone())?;
    Ok(ended(stopped, watch))
}

impl GeneratorJob<'_> {
    /// The slices to learn from. Control and test subjects are never learnt from.
    fn indices(&self) -> Result<Vec<u32>, TrainError> {
        let manifest = self.store.manifest();
        let side = self.config.resolution as usize;
        if (manifest.height, manifest.width) != (side, side) {
            return Err(TrainError::Mismatch {
                what: format!("resolution of {}", self.store_name),
                expected: format!("{side}x{side}"),
                found: format!("{}x{}", manifest.height, manifest.width),
                hint: "choose the preset of this resolution, or import with --resolution".into(),
            });
        }
        let split = self.split.unwrap_or(Split::Train);
        if matches!(split, Split::Control | Split::Test) {
            return Err(TrainError::Mismatch {
                what: format!("{}:{split}", self.store_name),
                expected: "train or val".into(),
                found: split.to_string(),
                hint: "control and test subjects are held out; nothing may learn from them".into(),
            });
        }
        Ok(self.store.select(Some(split))?)
    }

    fn record(&self, indices: &[u32]) -> RunRecord {
        let manifest = self.store.manifest();
        let mut counts = LabelCounts::default();
        indices.iter().for_each(|&index| counts.add(self.store.label(index as usize)));
        #[expect(clippy::expect_used, reason = "a validated configuration holds finite numbers and strings")]
        let config = serde_json::to_value(self.config).expect("a configuration serialises");
        RunRecord {
            schema: SCHEMA,
            tool: Tool::this(),
            kind: ModelKind::Generator,
            config,
            inputs: vec![InputRecord {
                name: self.store_name.to_owned(),
                digest: self.store.digest().clone(),
                split: self.split.unwrap_or(Split::Train).to_string(),
                weight: None,
                images: indices.len(),
            }],
            adopted: None,
            channels: manifest.channels.clone(),
            labels: manifest.labels.clone(),
            training_labels: Some(counts.quality(&manifest.labels)),
            engine: self.engine.clone(),
        }
    }
}

/// Real images, in order, as planes on the device.
struct Batches<'a> {
    job: &'a GeneratorJob<'a>,
    planes: &'a Planes,
    order: BatchOrder,
}

impl<'a> Batches<'a> {
    fn new(job: &'a GeneratorJob<'a>, planes: &'a Planes, indices: Vec<u32>) -> Self {
        Self { job, planes, order: BatchOrder::new(job.config.seed, indices) }
    }

    /// The `batch` images from position `start` on: `[batch, planes, r, r]`.
    fn next(&mut self, start: u64, batch: u64) -> Result<Tensor, TrainError> {
        let indices = self.order.batch(start, batch as usize);
        let mut planes = encoded(self.job.store, self.planes, &indices)?;
        if self.job.config.mirror {
            let mut rng = random::rng(self.job.config.seed, Stream::Mirror, start);
            let flips: Vec<bool> = (0..batch).map(|_| rng.chance(0.5)).collect();
            let flips = Tensor::from_slice(&flips).view([-1, 1, 1, 1]).to_device(planes.device());
            planes = planes.flip([3]).where_self(&flips, &planes);
        }
        Ok(planes)
    }
}

/// Slices of a store as planes on the device: `[n, planes, r, r]` in [-1, 1].
pub(crate) fn encoded(store: &SliceStore, planes: &Planes, indices: &[u32]) -> Result<Tensor, TrainError> {
    let manifest = store.manifest();
    let mut images = vec![0; indices.len() * manifest.image_bytes()];
    let mut labels = vec![0; indices.len() * manifest.label_bytes()];
    store.gather(indices, &mut images, &mut labels)?;
    let (n, height, width) = (indices.len() as i64, manifest.height as i64, manifest.width as i64);
    let images = Tensor::from_slice(&images).view([n, -1, height, width]).to_device(planes.device());
    let labels = Tensor::from_slice(&labels).view([n, height, width]).to_device(planes.device());
    Ok(planes.encode(&images, &labels))
}

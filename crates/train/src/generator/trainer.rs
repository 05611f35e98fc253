//! The loop around the steps: data, logs, checkpoints, pictures, stopping and resuming.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use synthmr_core::Split;
use synthmr_core::random::{self, Draw, Stream};
use synthmr_core::records::{EngineRecord, InputRecord, ModelKind, RunRecord, SCHEMA, Tick, Tool};
use synthmr_data::store::{SliceStore, StoreLayout};
use synthmr_nets::engine::Precision;
use tch::{Device, Tensor};

use super::grid::sample_grid;
use super::learner::{is_finite, restore_tensors, saved_tensors};
use super::means::{Means, check_finite};
use super::{GeneratorConfig, Learner, Measured, learner};
use crate::batches::BatchOrder;
use crate::checkpoint::Checkpoint;
use crate::label_counts::LabelCounts;
use crate::planes::Planes;
use crate::run::Run;
use crate::{Outcome, TrainError, Watch};

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
    /// Device of the networks.
    pub device: Device,
    /// Arithmetic of the convolutions.
    pub precision: Precision,
    /// What goes into `run.json` about the engine.
    pub engine: EngineRecord,
}

/// Trains in `folder` until all images have been shown or the watch asks to stop; run again, it resumes.
///
/// # Errors
/// [`TrainError`]: a configuration that does not fit the store, a folder in use or of another run, a
/// checkpoint that cannot be written, weights or losses that are not finite.
pub fn train(job: &GeneratorJob<'_>, folder: &Path, watch: &mut dyn Watch) -> Result<Outcome, TrainError> {
    let config = job.config;
    config.validate()?;
    let indices = job.indices()?;
    let mut run = Run::start(folder, &job.record(&indices), watch)?;
    let schedule = config.schedule();
    let total = schedule.total_images();
    if run.is_finished() {
        watch.note("the run is complete; nothing to do");
        return Ok(Outcome::Finished);
    }

    let manifest = job.store.manifest();
    let planes = Planes::new(manifest.channels.len(), &manifest.labels, config.labels, job.device);
    let mut training = Training::new(job, &planes);
    if let Some(checkpoint) = run.latest_checkpoint(watch)? {
        training.restore(checkpoint, folder)?;
        watch.note(&format!("resuming after {} of {total} images", training.images_seen));
    }
    run.begin_events(training.images_seen)?;
    let mut saved_at = training.images_seen;

    let mut batches = Batches::new(job, &planes, indices);
    let layout = StoreLayout {
        channels: manifest.channels.clone(),
        height: manifest.height,
        width: manifest.width,
        labels: manifest.labels.clone(),
    };
    let grid = |training: &Training, stop: &dyn Fn() -> bool| {
        sample_grid(training.learner.average(), config.seed, &planes, &layout, stop)
    };
    let mut tick_start = (watch.seconds(), training.images_seen);
    while training.images_seen < total {
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
        if job.device == Device::Cpu {
            check_finite(&measured, training.images_seen)?;
        }
        watch.progress(training.images_seen, total);

        let crossed = |interval: u64| before / interval != training.images_seen / interval;
        let done = training.images_seen >= total;
        if crossed(config.tick_images) || done {
            let now = watch.seconds();
            let mut values = training.means.take(training.images_seen)?;
            values.extend(training.learner.gauges().into_iter().map(|(name, value)| (name.into(), value)));
            let rate = (training.images_seen - tick_start.1) as f64 / (now - tick_start.0).max(1e-9);
            values.insert("images_per_second".into(), rate);
            run.tick(&Tick { images_seen: training.images_seen, values }, watch)?;
            tick_start = (now, training.images_seen);
        }
        if crossed(config.checkpoint_images) || done {
            // The checkpoint first: a picture can take minutes, and is not worth losing steps for.
            training.save(&run)?;
            saved_at = training.images_seen;
            if let Some(picture) = grid(&training, &|| watch.should_stop()) {
                run.save_samples(training.images_seen, &picture)?;
            }
        }
    }
    run.finish(training.images_seen)?;
    Ok(Outcome::Finished)
}

/// Everything that changes while a generator trains.
struct Training {
    learner: Box<dyn Learner>,
    images_seen: u64,
    /// What the steps measured since the last tick.
    means: Means,
}

/// The part of a checkpoint that is not tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counters {
    learner: serde_json::Value,
    means: BTreeMap<String, (f64, u64)>,
}

impl Training {
    fn new(job: &GeneratorJob<'_>, planes: &Planes) -> Self {
        let learner = learner(job.config, planes, job.device, job.precision);
        Self { learner, images_seen: 0, means: Means::default() }
    }

    fn step(&mut self, reals: &Tensor, batch: u64) -> Measured {
        let measured = self.learner.step(reals, self.images_seen);
        self.images_seen += batch;
        self.means.add(&measured);
        measured
    }

    fn restore(&mut self, mut checkpoint: Checkpoint, folder: &Path) -> Result<(), TrainError> {
        restore_tensors(self.learner.as_ref(), &mut checkpoint, folder)?;
        let missing = |_| TrainError::State { path: folder.to_owned(), part: "counters".to_owned() };
        let counters: Counters = serde_json::from_value(checkpoint.state).map_err(missing)?;
        self.learner.set_counters(counters.learner).map_err(missing)?;
        self.means = Means::restored(counters.means);
        self.images_seen = checkpoint.images_seen;
        Ok(())
    }

    /// Saves a checkpoint, unless the last steps have ruined the state: the one before stays the newest then.
    fn save(&self, run: &Run) -> Result<(), TrainError> {
        if !is_finite(self.learner.as_ref()) {
            return Err(TrainError::NotFinite { what: "a weight".into(), images_seen: self.images_seen });
        }
        let counters = Counters { learner: self.learner.counters(), means: self.means.saved() };
        #[expect(clippy::expect_used, reason = "a struct of numbers has a JSON form")]
        let state = serde_json::to_value(counters).expect("counters serialise");
        let tensors = saved_tensors(self.learner.as_ref());
        run.save_checkpoint(&Checkpoint { images_seen: self.images_seen, state, tensors })?;
        Ok(())
    }
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
        let manifest = self.job.store.manifest();
        let (count, side) = (batch as usize, self.job.config.resolution);
        let batch = batch as i64;
        let indices = self.order.batch(start, count);
        let mut images = vec![0; count * manifest.image_bytes()];
        let mut labels = vec![0; count * manifest.label_bytes()];
        self.job.store.gather(&indices, &mut images, &mut labels)?;
        let images = Tensor::from_slice(&images).view([batch, -1, side, side]);
        let labels = Tensor::from_slice(&labels).view([batch, side, side]);
        let device = self.job.device;
        let mut planes = self.planes.encode(&images.to_device(device), &labels.to_device(device));
        if self.job.config.mirror {
            let mut rng = random::rng(self.job.config.seed, Stream::Mirror, start);
            let flips: Vec<bool> = (0..batch).map(|_| rng.chance(0.5)).collect();
            let flips = Tensor::from_slice(&flips).view([batch, 1, 1, 1]).to_device(device);
            planes = planes.flip([3]).where_self(&flips, &planes);
        }
        Ok(planes)
    }
}

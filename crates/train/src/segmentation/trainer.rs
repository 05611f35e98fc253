//! The loop: batches, steps, validation, logs, checkpoints, stopping and resuming.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use serde::{Deserialize, Serialize};
use synthmr_core::random::{Stream, device_seed};
use synthmr_core::records::{EngineRecord, ModelKind, RunRecord, SCHEMA, Tick, Tool};
use synthmr_nets::engine::Precision;
use synthmr_nets::segmenters::{Mode, Segmenter};
use tch::{Device, Kind, Tensor};

use super::losses::{Target, deep_loss};
use super::optimiser::Optimiser;
use super::predict::{block_slices, predict_block};
use super::sources::Mixture;
use super::{Augmentation, DiceCounts, SegmenterConfig, Source};
use crate::checkpoint::Checkpoint;
use crate::run::Run;
use crate::{Outcome, TrainError, Watch, ended};
use synthmr_nets::optimiser::clip_gradient_norm;

/// Prefix of the current weights in a checkpoint.
pub(super) const NETWORK: &str = "network.";
/// Prefix of the weights with the best validation score. They are in the same file as the current ones, so
/// that the two can never come from different moments, wherever the program was killed.
pub(super) const BEST: &str = "best.";
/// Prefix of the optimiser's tensors.
const OPTIMISER: &str = "optimiser.";

/// What a segmenter is trained on and with.
pub struct SegmenterJob<'a> {
    /// The configuration.
    pub config: &'a SegmenterConfig,
    /// The stores.
    pub sources: &'a [Source],
    /// Device of the network.
    pub device: Device,
    /// Arithmetic of the convolutions.
    pub precision: Precision,
    /// What goes into `run.json` about the engine.
    pub engine: EngineRecord,
}

/// Trains in `folder` until all images have been shown or the watch asks to stop; run again, it resumes.
///
/// # Errors
/// [`TrainError`]: sources that do not fit the configuration or each other, a folder in use or of another run,
/// a checkpoint that cannot be written, a loss or gradient that is not finite.
pub fn train(job: &SegmenterJob<'_>, folder: &Path, watch: &mut dyn Watch) -> Result<Outcome, TrainError> {
    let config = job.config;
    config.validate()?;
    let mut mixture = Mixture::open(config, job.sources)?;
    let absent = mixture.absent_classes();
    // A generator may have learnt to draw no class, and what that is worth is a result; a cohort without any is a mistake.
    if mixture.has_real() && absent.len() + 1 == mixture.manifest().labels.class_count() {
        return Err(TrainError::Mismatch {
            what: "annotations of the training slices".into(),
            expected: format!("pixels of at least one of {}", absent.join(", ")),
            found: "background alone".into(),
            hint: "a segmenter needs something to find; check the labels of the cohort".into(),
        });
    }
    let mut run = Run::start(folder, &record(job, &mixture), watch)?;
    if run.is_finished() {
        watch.note("the run is complete; nothing to do");
        return Ok(ended(run.stopped(), watch));
    }
    mixture.seen().write(folder)?;
    for class in absent {
        watch.note(&format!("class {class} is in no training slice: the network cannot learn it"));
    }
    for name in mixture.without_validation() {
        watch.note(&format!("{name} has no validation part; it does not take part in choosing the network"));
    }
    let total = config.total_images();
    let mut trainer = Trainer::new(job, &mixture);
    if let Some(checkpoint) = run.latest_checkpoint(watch)? {
        trainer.restore(checkpoint, folder)?;
        watch.note(&format!("resuming after {} of {total} images", trainer.images_seen));
    }
    run.begin_events(trainer.state.validation_due.unwrap_or(trainer.images_seen))?;

    let mut rate_start = (watch.seconds(), trainer.images_seen);
    let mut saved_at = trainer.images_seen;
    while trainer.goes_on() {
        let before = trainer.state.validation_due.take().unwrap_or(trainer.images_seen);
        if before == trainer.images_seen {
            if watch.should_stop() {
                if trainer.images_seen > saved_at {
                    trainer.save(&run)?;
                }
                return Ok(Outcome::Interrupted);
            }
            let (images, labels) = mixture.batch(before, job.device)?;
            trainer.step(&images, &labels)?;
            watch.progress(trainer.images_seen, total);
        }

        let done = trainer.images_seen >= total;
        let crossed = |interval: u64| before / interval != trainer.images_seen / interval;
        let (ticks, validates) = (crossed(config.tick_images), crossed(config.validation_images));
        let saves = crossed(config.checkpoint_images);
        let mut values = BTreeMap::new();
        if validates || done {
            let stop = || watch.should_stop();
            if trainer.validate(&mixture, &mut values, &stop)?.is_break() {
                trainer.state.validation_due = Some(before);
                trainer.save(&run)?;
                return Ok(Outcome::Interrupted);
            }
        }
        if ticks || validates || done {
            trainer.state.window.take(&mut values);
            values.insert("learning_rate".into(), config.rate(before));
            let now = watch.seconds();
            let images = (trainer.images_seen - rate_start.1) as f64;
            values.insert("images_per_second".into(), images / (now - rate_start.0).max(1e-9));
            rate_start = (now, trainer.images_seen);
            run.tick(&Tick { images_seen: trainer.images_seen, values }, watch)?;
        }
        if saves || done || trainer.stopped().is_some() {
            trainer.save(&run)?;
            saved_at = trainer.images_seen;
        }
    }
    let stopped = trainer.stopped();
    run.finish(trainer.images_seen, stopped.clone())?;
    Ok(ended(stopped, watch))
}

fn record(job: &SegmenterJob<'_>, mixture: &Mixture) -> RunRecord {
    let manifest = mixture.manifest();
    #[expect(clippy::expect_used, reason = "a validated configuration holds finite numbers and strings")]
    let config = serde_json::to_value(job.config).expect("a configuration serialises");
    RunRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        kind: ModelKind::Segmenter,
        config,
        inputs: mixture.records(),
        adopted: None,
        channels: manifest.channels.clone(),
        labels: manifest.labels.clone(),
        training_labels: None,
        engine: job.engine.clone(),
    }
}

/// Everything that changes while training goes on.
struct Trainer<'a> {
    config: &'a SegmenterConfig,
    network: Box<dyn Segmenter>,
    optimiser: Optimiser,
    /// Of the levels that take part in the loss.
    level_weights: Vec<f64>,
    classes: Vec<String>,
    device: Device,
    images_seen: u64,
    state: State,
    /// Weights with the best validation score.
    best: BTreeMap<String, Tensor>,
}

/// The part of the state that is not tensors.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct State {
    best: Option<Best>,
    window: Window,
    /// Steps that the optimiser counts.
    steps: u64,
    /// Looks at the validation part since the best network.
    #[serde(default)]
    vain_looks: u64,
    /// Where the validation after the last step was interrupted: images seen before that step. It comes first on resuming.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    validation_due: Option<u64>,
}

/// The best network so far.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Best {
    images_seen: u64,
    dice: f64,
}

/// Sums since the last tick. They are part of the state, so that a resumed run logs the same means.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Window {
    steps: u64,
    loss: f64,
    gradient_norm: f64,
}

impl Window {
    fn add(&mut self, loss: f64, gradient_norm: f64) {
        self.steps += 1;
        self.loss += loss;
        self.gradient_norm += gradient_norm;
    }

    /// Puts the means into `values` and begins anew.
    fn take(&mut self, values: &mut BTreeMap<String, f64>) {
        let Self { steps, loss, gradient_norm } = std::mem::take(self);
        let steps = steps.max(1) as f64;
        values.insert("loss".into(), loss / steps);
        values.insert("gradient_norm".into(), gradient_norm / steps);
    }
}

impl<'a> Trainer<'a> {
    fn new(job: &SegmenterJob<'a>, mixture: &Mixture) -> Self {
        let (config, manifest) = (job.config, mixture.manifest());
        let (inputs, classes) = (manifest.channels.len(), manifest.labels.class_count());
        let network = config.network(inputs, classes, job.device, job.precision);
        network.parameters().zero_gradient();
        Self {
            config,
            optimiser: config.optimiser.begin(network.parameters()),
            level_weights: network.level_weights(),
            network,
            classes: manifest.labels.class_names(),
            device: job.device,
            images_seen: 0,
            state: State::default(),
            best: BTreeMap::new(),
        }
    }

    /// One step along the gradient of one batch.
    fn step(&mut self, images: &Tensor, labels: &Tensor) -> Result<(), TrainError> {
        let config = self.config;
        self.network.parameters().zero_gradient();
        let (input, labels) = self.augmented(images, labels);
        let ignored = self.ignored(&labels);
        tch::manual_seed(device_seed(config.seed, Stream::Dropout, self.images_seen));
        let parts = config.accumulation;
        let part = config.batch / parts;
        let mut loss = Tensor::zeros([], (Kind::Float, self.device));
        // Gradients of the parts add up in place, so that only one part's features are in memory.
        for i in 0..parts {
            let of = |whole: &Tensor| whole.narrow(0, i * part, part);
            let (labels, ignored) = (of(&labels), ignored.as_ref().map(of));
            let target = Target::new(&labels, self.classes.len() as i64, ignored.as_ref(), Kind::Float);
            let levels = self.network.forward_levels(&of(&input), self.level_weights.len(), Mode::Train);
            let of_part =
                deep_loss(&levels, &self.level_weights, &target, &config.loss.dice()) / parts as f64;
            of_part.backward();
            loss += of_part.detach();
        }
        let parameters = self.network.parameters();
        let limit = config.optimiser.gradient_norm;
        let gradient_norm = clip_gradient_norm(parameters, if limit > 0.0 { limit } else { f64::INFINITY });
        let loss = loss.double_value(&[]);
        for (what, value) in [("the loss", loss), ("the gradient's norm", gradient_norm)] {
            if !value.is_finite() {
                return Err(TrainError::NotFinite { what: what.into(), images_seen: self.images_seen });
            }
        }
        self.optimiser.step(parameters, config.rate(self.images_seen));
        self.state.steps = self.optimiser.steps();
        self.state.window.add(loss, gradient_norm);
        self.images_seen += config.batch as u64;
        Ok(())
    }

    /// What the network sees of a batch u8 `[n, c, h, w]` with class maps u8 `[n, h, w]`, and the class maps that belong
    /// to it.
    fn augmented(&self, images: &Tensor, labels: &Tensor) -> (Tensor, Tensor) {
        let (config, side) = (&self.config.augmentation, self.network.input_side());
        if !config.on {
            return (self.config.prepared(images, side), labels.shallow_clone());
        }
        let (count, contrasts) = (images.size()[0] as usize, images.size()[1] as usize);
        let changes = Augmentation::draw(config, self.config.seed, self.images_seen, count, contrasts);
        let own = images.size()[2];
        let (moved, labels) = changes.moved(&self.config.prepared(images, own), labels);
        let altered = changes.altered(moved);
        // What `valid` padding sees beyond the image is more of its border, which has been altered like the rest.
        let (before, more) = ((side - own) / 2, side - own);
        let pads = [before, more - before, before, more - before];
        (if more == 0 { altered } else { altered.replication_pad2d(pads) }, labels)
    }

    /// The pixels that this step's loss ignores: in the first epochs a random part of the background.
    fn ignored(&self, labels: &Tensor) -> Option<Tensor> {
        let probability = self.config.background_ignored(self.images_seen);
        if probability <= 0.0 {
            return None;
        }
        let background = labels.eq(0);
        if probability >= 1.0 {
            return Some(background);
        }
        tch::manual_seed(device_seed(self.config.seed, Stream::BackgroundWarmup, self.images_seen));
        let drawn = Tensor::rand(labels.size(), (Kind::Float, self.device)).lt(probability);
        Some(drawn.logical_and(&background))
    }

    /// Dice on the sources' own validation parts, counted over all their slices; keeps the best network. Breaks, with
    /// nothing changed, when it should `stop`.
    fn validate(
        &mut self,
        mixture: &Mixture,
        values: &mut BTreeMap<String, f64>,
        stop: &dyn Fn() -> bool,
    ) -> Result<ControlFlow<()>, TrainError> {
        let mut counts = DiceCounts::new(self.classes.len());
        let network = self.network.as_ref();
        let validated = mixture.validation(block_slices(network), self.device, |images, labels| {
            if stop() {
                return ControlFlow::Break(());
            }
            counts.add(labels, &predict_block(network, self.config, images));
            ControlFlow::Continue(())
        })?;
        if validated.is_break() {
            return Ok(validated);
        }
        for (name, dice) in self.classes.iter().skip(1).zip(counts.foreground()) {
            values.extend(dice.map(|dice| (format!("val_dice_{name}"), dice)));
        }
        let Some(dice) = counts.mean() else { return Ok(ControlFlow::Continue(())) };
        values.insert("val_dice".into(), dice);
        self.state.vain_looks += 1;
        if self.state.best.as_ref().is_none_or(|best| dice > best.dice) {
            self.state.vain_looks = 0;
            self.state.best = Some(Best { images_seen: self.images_seen, dice });
            let copies = self.network.parameters().all();
            self.best = copies.map(|(name, value)| (name.to_owned(), value.detach().copy())).collect();
        }
        Ok(ControlFlow::Continue(()))
    }

    fn goes_on(&self) -> bool {
        let left = self.images_seen < self.config.total_images();
        self.state.validation_due.is_some() || (left && self.stopped().is_none())
    }

    /// Why the training ends before all images are seen: validation has looked in vain as often as the patience allows.
    fn stopped(&self) -> Option<String> {
        let (vain, patience) = (self.state.vain_looks, self.config.validation_patience);
        let ends = patience > 0 && vain >= patience && self.images_seen < self.config.total_images();
        ends.then(|| {
            format!("after {} images, validation did not improve {vain} times in a row", self.images_seen)
        })
    }

    /// Saves a checkpoint, unless the last step has ruined the weights: the one before stays the newest then.
    fn save(&self, run: &Run) -> Result<(), TrainError> {
        let finite = |value: &Tensor| value.isfinite().all().int64_value(&[]) != 0;
        if !self.network.parameters().all().all(|(_, value)| finite(value)) {
            return Err(TrainError::NotFinite { what: "a weight".into(), images_seen: self.images_seen });
        }
        run.save_checkpoint(&self.checkpoint())?;
        Ok(())
    }

    fn checkpoint(&self) -> Checkpoint {
        let mut tensors = BTreeMap::new();
        for (name, value) in self.network.parameters().all() {
            tensors.insert(format!("{NETWORK}{name}"), value.detach());
        }
        for (name, value) in &self.best {
            tensors.insert(format!("{BEST}{name}"), value.shallow_clone());
        }
        for (name, value) in self.optimiser.state() {
            tensors.insert(format!("{OPTIMISER}{name}"), value.shallow_clone());
        }
        #[expect(clippy::expect_used, reason = "steps stop at the first number that is not finite")]
        let state = serde_json::to_value(&self.state).expect("finite numbers serialise");
        Checkpoint { images_seen: self.images_seen, state, tensors }
    }

    fn restore(&mut self, mut checkpoint: Checkpoint, folder: &Path) -> Result<(), TrainError> {
        let missing = |part: &str| TrainError::State { path: folder.to_owned(), part: part.to_owned() };
        self.network
            .parameters()
            .load(&checkpoint.take(NETWORK))
            .map_err(|source| TrainError::Weights { path: folder.to_owned(), source })?;
        let saved = checkpoint.take(OPTIMISER);
        for (name, tensor) in self.optimiser.state() {
            let value = saved.get(name).filter(|value| value.size() == tensor.size());
            tensor.shallow_clone().copy_(value.ok_or_else(|| missing(name))?);
        }
        let best = checkpoint.take(BEST);
        self.best = best.into_iter().map(|(name, value)| (name, value.to_device(self.device))).collect();
        self.state = serde_json::from_value(checkpoint.state).map_err(|_| missing("state"))?;
        self.optimiser.set_steps(self.state.steps);
        self.images_seen = checkpoint.images_seen;
        Ok(())
    }
}

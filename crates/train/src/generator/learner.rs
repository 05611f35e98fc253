//! What every family of generators has in common while it learns and when it draws.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use serde_json::Value;
use synthmr_core::random::{self, Draw, Stream};
use synthmr_nets::engine::Parameters;
use tch::{Device, Tensor};

use crate::TrainError;
use crate::checkpoint::Checkpoint;
use crate::diffusion::Method;

/// Prefix of the averaged generator's weights in a checkpoint, the ones that images are drawn with.
pub(crate) const AVERAGE: &str = "average.";

/// Prefix of the averaged generator's weights at the best inspection so far.
pub(crate) const BEST: &str = "best.";

/// Values that one step measured, by their names in the log; tensors, because reading one waits for a GPU.
pub type Measured = Vec<(&'static str, Tensor)>;

/// A generator that learns: its networks, optimisers and counters. A step is a function of the state, the batch
/// and `images_seen` alone.
pub trait Learner {
    /// Learns from one batch of real images `[batch, planes, r, r]` in [-1, 1]; `images_seen` were shown before.
    fn step(&mut self, reals: &Tensor, images_seen: u64) -> Measured;

    /// Values of the state that the log shows beside what the steps measured.
    fn gauges(&self) -> Vec<(&'static str, f64)>;

    /// The networks with their prefixes in a checkpoint, the averaged generator as `average.`.
    fn networks(&self) -> Vec<(&'static str, &Parameters)>;

    /// All other tensors of the state with their names in a checkpoint.
    fn tensors(&self) -> Vec<(String, &Tensor)>;

    /// The part of the state that is not tensors.
    fn counters(&self) -> Value;

    /// Takes up what [`Self::counters`] gave.
    ///
    /// # Errors
    /// When it is of another form.
    fn set_counters(&mut self, counters: Value) -> Result<(), serde_json::Error>;

    /// Makes the replicas of the networks equal to those of [`Self::networks`], which were restored.
    fn align(&self);

    /// The averaged generator.
    fn average(&self) -> &dyn ImageSource;
}

/// A generator that draws images.
pub trait ImageSource {
    /// All values.
    fn parameters(&self) -> &Parameters;

    /// False while the images are smaller than they are going to be.
    fn is_grown(&self) -> bool {
        true
    }

    /// The images with these numbers as planes in [-1, 1]: `[count, planes, r, r]`. Each one is a function of
    /// (weights, seed, number, options) up to the last bits, which may depend on how many are drawn at once.
    /// `stop` is asked now and then; none are drawn when it says so.
    fn draw(
        &self,
        seed: u64,
        numbers: Range<u64>,
        options: &DrawOptions,
        stop: &dyn Fn() -> bool,
    ) -> Option<Tensor>;

    /// Refuses options that this family has no use for.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] naming the option.
    fn check(&self, options: &DrawOptions) -> Result<(), TrainError>;

    /// Steps that an image takes; 1 for a GAN.
    fn steps(&self) -> u64;

    /// How a diffusion model draws with these options, for records; none for a GAN, which has one way only.
    fn method(&self, options: &DrawOptions) -> Option<String>;
}

/// How images are drawn. What is not given is as the generator was trained to be used.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct DrawOptions {
    /// Truncation psi of a GAN's latent distribution: 1 (when not given) draws from all of it, 0 its mean only.
    pub truncation: Option<f64>,
    /// Rule for a step of a diffusion model.
    pub method: Option<Method>,
    /// Steps of a diffusion model.
    pub steps: Option<u64>,
}

/// Standard normal values `[numbers, count]`, each row a function of its number.
pub(crate) fn keyed_normal(
    seed: u64,
    stream: Stream,
    numbers: Range<u64>,
    count: i64,
    device: Device,
) -> Tensor {
    let rows = (numbers.end - numbers.start) as i64;
    let mut values = vec![0f32; (rows * count) as usize];
    for (number, row) in numbers.zip(values.chunks_exact_mut(count as usize)) {
        random::rng(seed, stream, number).fill_normal(row);
    }
    Tensor::from_slice(&values).view([rows, count]).to_device(device)
}

/// Every tensor of a learner as it is saved.
pub(super) fn saved_tensors(learner: &dyn Learner) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    for (prefix, parameters) in learner.networks() {
        all.extend(parameters.all().map(|(name, tensor)| (format!("{prefix}{name}"), tensor.detach())));
    }
    all.extend(learner.tensors().into_iter().map(|(name, tensor)| (name, tensor.detach())));
    all
}

/// Copies a checkpoint's tensors into a learner; `folder` is named in errors.
///
/// # Errors
/// [`TrainError::State`] when a tensor is missing, [`TrainError::Weights`] when weights do not fit.
pub(super) fn restore_tensors(
    learner: &dyn Learner,
    checkpoint: &mut Checkpoint,
    folder: &Path,
) -> Result<(), TrainError> {
    for (prefix, parameters) in learner.networks() {
        parameters
            .load(&checkpoint.take(prefix))
            .map_err(|source| TrainError::Weights { path: folder.to_owned(), source })?;
    }
    for (name, tensor) in learner.tensors() {
        let found = checkpoint.tensors.remove(&name).filter(|found| found.size() == tensor.size());
        let missing = || TrainError::State { path: folder.to_owned(), part: name.clone() };
        tensor.shallow_clone().copy_(&found.ok_or_else(missing)?);
    }
    learner.align();
    Ok(())
}

/// True when every weight and every other tensor of the state is finite.
pub fn is_finite(learner: &dyn Learner) -> bool {
    let finite = |tensor: &Tensor| tensor.isfinite().all().int64_value(&[]) != 0;
    learner.networks().iter().all(|(_, parameters)| {
        finite(parameters.flat()) && parameters.buffers().all(|(_, buffer)| finite(buffer))
    }) && learner.tensors().iter().all(|(_, tensor)| finite(tensor))
}

//! Images of a set through a network, in memory that does not grow with the number of contrasts.

use std::ops::ControlFlow;

use synthmr_core::Digest;
use synthmr_core::ids::Digester;
use synthmr_metrics::realism::FeatureMatrix;
use synthmr_nets::features::Sees;
use synthmr_nets::tch::{Device, Kind, Tensor};

use crate::cache::{Chunk, Miss};
use crate::sets::Set;
use crate::{Cache, FeatureSource, Observer, RealismError};

/// Images of a file in the cache: an interruption costs at most so many.
const CHUNK: usize = 2048;

/// Images that go through a network together. Features of an image depend on it by rounding only; it is fixed all the same,
/// so that numbers are a function of the stores.
const BATCH: usize = 32;

/// Features of a set, and probabilities of classes where the network has its own.
pub(crate) type Extracted = (FeatureMatrix, Option<FeatureMatrix>);

/// Counts images over all sets and contrasts, once for what a network makes of them and once for the metrics of that.
pub(crate) struct Progress<'a> {
    observer: &'a mut dyn Observer,
    done: u64,
    total: u64,
}

impl<'a> Progress<'a> {
    pub(crate) fn new(observer: &'a mut dyn Observer, total: u64) -> Self {
        Self { observer, done: 0, total }
    }

    /// Counts `images` more, and passes on a wish to stop.
    pub(crate) fn add(&mut self, images: usize) -> Result<(), RealismError> {
        let start = self.done;
        match self.part(start, images as f64) {
            ControlFlow::Continue(()) => Ok(()),
            ControlFlow::Break(()) => Err(RealismError::Interrupted),
        }
    }

    /// How many are counted so far.
    pub(crate) fn done(&self) -> u64 {
        self.done
    }

    /// Counts `images` from `start` on: work in which no image is done before the others. Passes on a wish to stop.
    pub(crate) fn part(&mut self, start: u64, images: f64) -> ControlFlow<()> {
        self.done = start + images as u64;
        self.observer.progress(self.done, self.total);
        if self.observer.should_stop() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    pub(crate) fn note(&mut self, message: &str) {
        self.observer.note(message);
    }
}

/// The features of all images of `set`: of one contrast, or of all together.
pub(crate) fn extract(
    source: &FeatureSource,
    set: &Set<'_>,
    channel: Option<usize>,
    cache: &Cache,
    progress: &mut Progress<'_>,
) -> Result<Extracted, RealismError> {
    let network = source.network.as_ref();
    assert_eq!(channel.is_none(), network.sees() == Sees::AllContrasts, "what the network looks at");
    let dims = network.dims() as usize;
    let classes = network.classes().map_or(0, |classes| classes as usize);
    let (mut values, mut probabilities) =
        (Vec::with_capacity(set.len() * dims), Vec::with_capacity(set.len() * classes));
    for start in (0..set.len()).step_by(CHUNK) {
        let end = (start + CHUNK).min(set.len());
        let key = key(source, set, channel, start, end);
        let chunk = match cache.read(&key, end - start, dims, classes) {
            Ok(chunk) => {
                progress.add(end - start)?;
                chunk
            }
            Err(miss) => {
                if let Miss::Damaged(words) = miss {
                    progress.note(&format!("{words}: it is made again"));
                }
                let chunk = compute(source, set, channel, start, end, progress)?;
                cache.write(&key, &chunk, end - start)?;
                chunk
            }
        };
        values.extend(chunk.values);
        probabilities.extend(chunk.probabilities);
    }
    let name = channel.map_or("joint", |channel| &set.store.manifest().channels[set.channels[channel]]);
    let failed = |error| RealismError::Metric {
        features: source.record.name.clone(),
        channel: name.to_owned(),
        source: error,
    };
    let features = FeatureMatrix::new(values, dims).map_err(failed)?;
    let probabilities =
        (classes > 0).then(|| FeatureMatrix::new(probabilities, classes)).transpose().map_err(failed)?;
    Ok((features, probabilities))
}

/// Everything that the features of a chunk depend on. The protocol is part of it: what a version of this program makes of the
/// same weights may change, and then its words do.
fn key(source: &FeatureSource, set: &Set<'_>, channel: Option<usize>, start: usize, end: usize) -> Digest {
    let mut digester = Digester::new();
    digester.add(b"synthmr features 1").add(set.store.digest().as_str().as_bytes());
    digester.add(source.record.name.as_bytes()).add(source.record.digest.as_str().as_bytes());
    digester.add(source.record.protocol.as_bytes()).add(&source.record.dims.to_le_bytes());
    let channels: Vec<u8> = match channel {
        Some(channel) => vec![set.channels[channel] as u8],
        None => set.channels.iter().map(|&channel| channel as u8).collect(),
    };
    digester.add(&channels);
    set.indices[start..end].iter().for_each(|index| {
        digester.add(&index.to_le_bytes());
    });
    digester.finish()
}

fn compute(
    source: &FeatureSource,
    set: &Set<'_>,
    channel: Option<usize>,
    start: usize,
    end: usize,
    progress: &mut Progress<'_>,
) -> Result<Chunk, RealismError> {
    let manifest = set.store.manifest();
    let (height, width) = (manifest.height as i64, manifest.width as i64);
    let mut chunk = Chunk { values: Vec::new(), probabilities: Vec::new() };
    let channels: Vec<usize> =
        channel.map_or_else(|| (0..set.channels.len()).collect(), |channel| vec![channel]);
    for start in (start..end).step_by(BATCH) {
        let stop = (start + BATCH).min(end);
        let mut pixels = Vec::with_capacity((stop - start) * channels.len() * manifest.label_bytes());
        for place in start..stop {
            channels.iter().for_each(|&channel| pixels.extend_from_slice(set.plane(place, channel)));
        }
        let images = Tensor::from_slice(&pixels).view([-1, channels.len() as i64, height, width]);
        let batch = source.network.features(&images.to_device(source.device));
        append(&batch.values, &mut chunk.values);
        if let Some(probabilities) = &batch.probabilities {
            append(probabilities, &mut chunk.probabilities);
        }
        progress.add(stop - start)?;
    }
    Ok(chunk)
}

/// Adds the values of a tensor, row by row.
pub(crate) fn append(tensor: &Tensor, out: &mut Vec<f32>) {
    let tensor = tensor.to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
    let (start, count) = (out.len(), tensor.numel());
    out.resize(start + count, 0.0);
    tensor.copy_data(&mut out[start..], count);
}

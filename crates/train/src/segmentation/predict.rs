//! Prediction with a trained segmenter.

use std::path::Path;

use synthmr_core::records::{ModelKind, Origin, RunRecord, SubjectRecord};
use synthmr_core::{Digest, Split};
use synthmr_data::store::SliceStore;
use synthmr_nets::engine::Precision;
use synthmr_nets::segmenters::{self as networks, Mode};
use tch::{Device, Kind, Tensor};

use super::SegmenterConfig;
use super::seen::Seen;
use super::trainer::{BEST, NETWORK};
use crate::run::{RUN_FILE, TrainedRun};
use crate::{Outcome, TrainError, Watch};

/// Input pixels of a block of slices that are predicted together; bounds memory at large sizes.
const BLOCK_PIXELS: i64 = 1 << 18;
/// Most slices in a block.
const BLOCK_SLICES: i64 = 16;

/// How many slices are predicted together. It follows from the network alone, and a smaller block is filled
/// up, so that the arithmetic of a slice does not depend on how many others were asked for.
pub(super) fn block_slices(network: &dyn networks::Segmenter) -> usize {
    (BLOCK_PIXELS / (network.input_side() * network.input_side())).clamp(1, BLOCK_SLICES) as usize
}

/// Logits `[n, classes, H, W]` of images u8 `[n, C, H, W]`, at most [`block_slices`] of them.
fn logits(network: &dyn networks::Segmenter, config: &SegmenterConfig, images: &Tensor) -> Tensor {
    let (n, missing) = (images.size()[0], block_slices(network) as i64 - images.size()[0]);
    tch::no_grad(|| {
        let filled = if missing > 0 {
            let mut size = images.size();
            size[0] = missing;
            Tensor::cat(&[images, &Tensor::zeros(size, (Kind::Uint8, images.device()))], 0)
        } else {
            images.shallow_clone()
        };
        let input = config.prepared(&filled, network.input_side());
        network.forward_levels(&input, 1, Mode::Predict).swap_remove(0).narrow(0, 0, n)
    })
}

/// Class maps u8 `[n, H, W]` of images u8 `[n, C, H, W]`, at most [`block_slices`] of them.
pub(super) fn predict_block(
    network: &dyn networks::Segmenter,
    config: &SegmenterConfig,
    images: &Tensor,
) -> Tensor {
    logits(network, config, images).argmax(1, false).to_kind(Kind::Uint8)
}

/// Which weights of a run predict.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weights {
    /// Those with the best validation score; the last ones where nothing was validated.
    #[default]
    Best,
    /// Those after the last step.
    Last,
}

/// A trained network with what is known of its data.
pub struct Segmenter {
    network: Box<dyn networks::Segmenter>,
    config: SegmenterConfig,
    record: RunRecord,
    digest: Digest,
    device: Device,
    notes: Vec<String>,
    /// None for a run of an earlier version.
    seen: Option<Seen>,
}

impl Segmenter {
    /// Opens the run in `folder` at its newest intact checkpoint.
    ///
    /// # Errors
    /// [`TrainError`] when the folder is no run of a segmenter, or its checkpoint does not fit.
    pub fn load(folder: &Path, weights: Weights, device: Device) -> Result<Self, TrainError> {
        let TrainedRun { record, mut checkpoint, digest, notes } = TrainedRun::open(folder)?;
        if record.kind != ModelKind::Segmenter {
            return Err(TrainError::Mismatch {
                what: folder.display().to_string(),
                expected: "a segmenter".into(),
                found: "a generator".into(),
                hint: "`synthmr train segmenter` makes segmenters".into(),
            });
        }
        let state = |part: &str| TrainError::State { path: folder.to_owned(), part: part.to_owned() };
        let config: SegmenterConfig = serde_json::from_value(record.config.clone()).map_err(|error| {
            TrainError::Foreign { path: folder.join(RUN_FILE), reason: error.to_string() }
        })?;
        config.validate()?;
        let precision: Precision =
            record.engine.precision.parse().map_err(|_| state("precision in run.json"))?;
        let (inputs, classes) = (record.channels.len(), record.labels.class_count());
        let network = config.network(inputs, classes, device, precision);
        let best = checkpoint.take(BEST);
        let last = weights == Weights::Last || best.is_empty();
        let weights = if last { checkpoint.take(NETWORK) } else { best };
        network
            .parameters()
            .load(&weights)
            .map_err(|source| TrainError::Weights { path: folder.to_owned(), source })?;
        Ok(Self { network, config, record, digest, device, notes, seen: Seen::read(folder)? })
    }

    /// Refuses a test on subjects that the network has learnt from, by itself or through a generator of its images. `name`
    /// is the run's in words; words for a person come back where the test is of little worth.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] naming the subject or the store.
    pub fn check_unseen(
        &self,
        name: &str,
        store: &SliceStore,
        indices: &[u32],
        split: Split,
    ) -> Result<Option<String>, TrainError> {
        match &self.seen {
            Some(seen) => seen.check(name, store, indices, split),
            None => {
                Ok(Some(format!("{name} does not say whose images it has seen: it is of an earlier version")))
            }
        }
    }

    /// `run.json` of the training.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Digest of the checkpoint that the weights come from.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Damaged checkpoints that were passed over, in words.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// Probabilities of the classes, f32 `[n, classes, H, W]`, of images u8 `[n, C, H, W]` on the network's device. Those of
    /// an image are the same whatever others are given with it.
    fn probabilities(&self, images: &Tensor) -> Tensor {
        let network = self.network.as_ref();
        let blocks = images.split(block_slices(network) as i64, 0);
        let of_block = |block: &Tensor| logits(network, &self.config, block).softmax(1, Kind::Float);
        Tensor::cat(&blocks.iter().map(of_block).collect::<Vec<_>>(), 0)
    }

    /// What the network makes of images u8 `[n, C, H, W]` on its device where it sees them most coarsely, f32
    /// `[n, features]`: features that a network learnt from the data it was trained on.
    pub fn bottleneck(&self, images: &Tensor) -> Tensor {
        let network = self.network.as_ref();
        tch::no_grad(|| {
            let blocks = images.split(block_slices(network) as i64, 0);
            let of_block = |block: &Tensor| {
                network.bottleneck(&self.config.prepared(block, network.input_side())).to_kind(Kind::Float)
            };
            Tensor::cat(&blocks.iter().map(of_block).collect::<Vec<_>>(), 0)
        })
    }

    /// Checks that a store shows what the network was trained for.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] naming the channels, classes or resolution that differ.
    pub fn check(&self, store: &SliceStore) -> Result<(), TrainError> {
        let manifest = store.manifest();
        let mismatch = |what: &str, expected: String, found: String| TrainError::Mismatch {
            what: format!("{what} of {}", store.path().display()),
            expected: format!("{expected} as the segmenter was trained for"),
            found,
            hint: "import the cohort with the settings of the training data".into(),
        };
        let side = self.network.side() as usize;
        let classes = manifest.labels.class_names();
        if manifest.channels != self.record.channels {
            return Err(mismatch("channels", self.record.channels.join(", "), manifest.channels.join(", ")));
        }
        let known = self.record.labels.class_names();
        if classes != known {
            return Err(mismatch("classes", known.join(", "), classes.join(", ")));
        }
        if (manifest.height, manifest.width) != (side, side) {
            let found = format!("{}x{}", manifest.height, manifest.width);
            return Err(mismatch("resolution", format!("{side}x{side}"), found));
        }
        Ok(())
    }
}

/// Trained networks that predict together: a pixel has the class of the highest mean probability.
pub struct Predictor {
    members: Vec<Segmenter>,
    mirror: bool,
}

impl Predictor {
    /// Networks for the same images and classes. With `mirror` each also looks at the images from the other side, left and
    /// right exchanged, and the mean is over both looks.
    ///
    /// # Errors
    /// [`TrainError::Mismatch`] without networks, and when they were trained for different channels, classes or sizes.
    pub fn new(members: Vec<Segmenter>, mirror: bool) -> Result<Self, TrainError> {
        let mismatch = |what: &str, expected: String, found: String| TrainError::Mismatch {
            what: format!("{what} of the segmenters"),
            expected,
            found,
            hint:
                "an ensemble is of networks that were trained for the same task, such as seeds of one recipe"
                    .into(),
        };
        let Some(first) = members.first() else {
            return Err(mismatch("number", "at least one".into(), "none".into()));
        };
        for other in &members[1..] {
            let (a, b) = (&first.record, &other.record);
            for (what, expected, found) in [
                ("channels", a.channels.clone(), b.channels.clone()),
                ("classes", a.labels.class_names(), b.labels.class_names()),
            ] {
                if expected != found {
                    return Err(mismatch(what, expected.join(", "), found.join(", ")));
                }
            }
            let (expected, found) = (first.network.side(), other.network.side());
            if expected != found {
                return Err(mismatch("resolution", expected.to_string(), found.to_string()));
            }
        }
        Ok(Self { members, mirror })
    }

    /// The networks.
    pub fn members(&self) -> &[Segmenter] {
        &self.members
    }

    /// Class maps `[n, H, W]` of images u8 `[n, C, H, W]`, one byte a pixel. The map of a slice is the same
    /// whatever other slices are predicted with it.
    ///
    /// # Panics
    /// When `images` is not a whole number of slices of the networks' channels and side.
    pub fn predict(&self, images: &[u8]) -> Vec<u8> {
        let network = self.members[0].network.as_ref();
        let (inputs, side) = (network.inputs(), network.side());
        let slice = (inputs * side * side) as usize;
        assert!(images.len().is_multiple_of(slice), "whole slices of the networks' channels and side");
        let mut maps = Vec::with_capacity(images.len() / inputs as usize);
        for block in images.chunks(slice * BLOCK_SLICES as usize) {
            let block = Tensor::from_slice(block).view([-1, inputs, side, side]);
            let looks = self.members.iter().map(|member| {
                let block = block.to_device(member.device);
                let seen = member.probabilities(&block);
                if self.mirror { seen + member.probabilities(&block.flip([3])).flip([3]) } else { seen }
            });
            let sum: Option<Tensor> = looks.reduce(|sum, look| sum + look);
            let map = sum.map(|sum| sum.argmax(1, false).to_kind(Kind::Uint8).flatten(0, -1));
            if let Some(map) = map {
                let (start, count) = (maps.len(), map.numel());
                maps.resize(start + count, 0);
                map.to_device(Device::Cpu).copy_data(&mut maps[start..], count);
            }
        }
        maps
    }
}

/// Truth and prediction of one subject's kept slices, from the feet up.
#[derive(Clone, Debug, PartialEq)]
pub struct SubjectPrediction {
    /// The subject; none for a synthetic image, which stands for itself.
    pub subject: Option<SubjectRecord>,
    /// Numbers of the slices in the prepared volume, rising.
    pub slices: Vec<i32>,
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// Class indices `[slices, height, width]`.
    pub truth: Vec<u8>,
    /// Class indices `[slices, height, width]`.
    pub prediction: Vec<u8>,
}

/// Predicts the slices `indices` of a store and gives them to `each`, subject by subject in the store's order;
/// one subject is in memory at a time.
///
/// # Errors
/// [`TrainError::Mismatch`] when the store does not fit, [`TrainError::Store`] for a damaged label; the first of `each`.
pub fn predict_store<E: From<TrainError>>(
    predictor: &Predictor,
    store: &SliceStore,
    indices: &[u32],
    watch: &mut dyn Watch,
    each: &mut dyn FnMut(SubjectPrediction) -> Result<(), E>,
) -> Result<Outcome, E> {
    predictor.members.iter().try_for_each(|member| member.check(store))?;
    let manifest = store.manifest();
    let mut done = 0;
    for group in subjects(store, indices) {
        if watch.should_stop() {
            return Ok(Outcome::Interrupted);
        }
        let mut images = vec![0; group.len() * manifest.image_bytes()];
        let mut truth = vec![0; group.len() * manifest.label_bytes()];
        store.gather(&group, &mut images, &mut truth).map_err(TrainError::from)?;
        let subject = match (&manifest.origin, store.subject(group[0] as usize)) {
            (Origin::Cohort { subjects, .. }, Some(subject)) => subjects.get(subject as usize).cloned(),
            _ => None,
        };
        each(SubjectPrediction {
            subject,
            slices: group.iter().map(|&i| store.slice(i as usize)).collect(),
            height: manifest.height,
            width: manifest.width,
            prediction: predictor.predict(&images),
            truth,
        })?;
        done += group.len() as u64;
        watch.progress(done, indices.len() as u64);
    }
    Ok(Outcome::Finished)
}

/// The slices of each subject, ordered by their number; subjects in the order of their first slice.
fn subjects(store: &SliceStore, indices: &[u32]) -> Vec<Vec<u32>> {
    let mut order: Vec<Option<u32>> = Vec::new();
    let mut groups: Vec<Vec<u32>> = Vec::new();
    for &index in indices {
        let subject = store.subject(index as usize);
        match order.iter().position(|&known| known == subject).filter(|_| subject.is_some()) {
            Some(position) => groups[position].push(index),
            None => {
                order.push(subject);
                groups.push(vec![index]);
            }
        }
    }
    for group in &mut groups {
        group.sort_by_key(|&index| store.slice(index as usize));
    }
    groups
}

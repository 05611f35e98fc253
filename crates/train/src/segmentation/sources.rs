//! The stores that a segmenter learns from, and in which mixture.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;
use std::str::FromStr;

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{InputRecord, StoreManifest};
use synthmr_core::{Split, files};
use synthmr_data::store::{SelectionError, SliceStore, StoreError, StoreSelection};
use tch::{Device, Tensor};

use super::SegmenterConfig;
use super::seen::Seen;
use crate::TrainError;
use crate::batches::BatchOrder;

/// `STORE[:train][*weight]`, as it is typed after `--train`.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    /// The store; its part is `train` whether it is given or not.
    pub selection: StoreSelection,
    /// Share of each batch, relative to the other sources; 1 unless given.
    pub weight: f64,
}

/// Why a text is not a source.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum SourceError {
    /// What is before the weight is not a selection.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// What follows the star is not a weight.
    #[error(
        "{text:?}: expected a positive number after the star, found {found:?}\nhint: for example syn.store*2"
    )]
    Weight {
        /// The text.
        text: String,
        /// What follows the last star.
        found: String,
    },
}

impl FromStr for Source {
    type Err = SourceError;

    /// A text that exists as a path is a path, whatever it holds; otherwise the last star begins the weight.
    fn from_str(text: &str) -> Result<Self, SourceError> {
        let whole = |text: &str| -> Result<StoreSelection, SourceError> { Ok(text.parse()?) };
        let Some((selection, suffix)) = text.rsplit_once('*') else {
            return Ok(Self { selection: whole(text)?, weight: 1.0 });
        };
        if Path::new(text).exists() || suffix.contains(['/', '\\']) {
            return Ok(Self { selection: whole(text)?, weight: 1.0 });
        }
        match suffix.parse::<f64>() {
            Ok(weight) if weight > 0.0 && weight.is_finite() => {
                Ok(Self { selection: whole(selection)?, weight })
            }
            _ => Err(SourceError::Weight { text: text.to_owned(), found: suffix.to_owned() }),
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.selection)?;
        if self.weight == 1.0 { Ok(()) } else { write!(f, "*{}", self.weight) }
    }
}

/// One source, opened.
struct Open {
    name: String,
    weight: f64,
    store: SliceStore,
    /// The training slices, in the store's order.
    train: Vec<u32>,
    order: BatchOrder,
    /// What validation looks at, in the store's order.
    val: Vec<u32>,
    /// Synthetic beside a cohort that has a validation part: the network is chosen on real subjects alone, as in the study.
    is_spared: bool,
    /// Images of this source in every batch.
    share: usize,
}

impl Open {
    fn is_real(&self) -> bool {
        self.store.manifest().is_real()
    }
}

/// All sources of a training. Of each store only the `train` and `val` parts are ever read.
pub(super) struct Mixture {
    sources: Vec<Open>,
    batch: usize,
    images: Vec<u8>,
    labels: Vec<u8>,
}

impl Mixture {
    /// Opens the stores and checks that they fit the configuration and each other.
    pub(super) fn open(config: &SegmenterConfig, sources: &[Source]) -> Result<Self, TrainError> {
        let mut opened: Vec<Open> = Vec::new();
        for (index, source) in sources.iter().enumerate() {
            let open = open_source(config, source, index)?;
            check_resolution(config, &open)?;
            if let Some(first) = opened.first() {
                check_alike(first, &open)?;
            }
            opened.push(open);
        }
        if opened.is_empty() {
            return Err(TrainError::Mismatch {
                what: "training data".into(),
                expected: "at least one store".into(),
                found: "none".into(),
                hint: "name one with --train STORE".into(),
            });
        }
        if opened.iter().any(|open| open.is_real() && !open.val.is_empty()) {
            for open in opened.iter_mut().filter(|open| !open.is_real()) {
                (open.is_spared, open.val) = (true, Vec::new());
            }
        }
        let batch = config.batch as usize;
        let weights: Vec<f64> = opened.iter().map(|source| source.weight).collect();
        let shares = shares_of(&weights, batch);
        for (open, share) in opened.iter_mut().zip(shares) {
            if share == 0 {
                return Err(TrainError::Mismatch {
                    what: format!("share of {}", open.name),
                    expected: "at least one image in every batch".into(),
                    found: format!("none with a weight of {} and a batch of {batch}", open.weight),
                    hint: "raise its weight or the batch".into(),
                });
            }
            open.share = share;
        }
        let manifest = opened[0].store.manifest();
        let (image, label) = (manifest.image_bytes(), manifest.label_bytes());
        Ok(Self { sources: opened, batch, images: vec![0; batch * image], labels: vec![0; batch * label] })
    }

    /// Channels, classes and size of the slices, which all sources share.
    pub(super) fn manifest(&self) -> &StoreManifest {
        self.sources[0].store.manifest()
    }

    /// What goes into `run.json`: for each source its training part, and its validation part if it has one.
    pub(super) fn records(&self) -> Vec<InputRecord> {
        let mut records = Vec::new();
        for source in &self.sources {
            let record = |split: Split, weight, images| InputRecord {
                name: source.name.clone(),
                digest: source.store.digest().clone(),
                split: split.to_string(),
                weight,
                images,
            };
            let weight = Some(source.weight).filter(|&weight| weight != 1.0);
            records.push(record(Split::Train, weight, source.train.len()));
            if !source.val.is_empty() {
                records.push(record(Split::Val, None, source.val.len()));
            }
        }
        records
    }

    /// Whether a source is a cohort.
    pub(super) fn has_real(&self) -> bool {
        self.sources.iter().any(Open::is_real)
    }

    /// Whom the training sees.
    pub(super) fn seen(&self) -> Seen {
        Seen::of(self.sources.iter().map(|source| &source.store))
    }

    /// Names of foreground classes without a pixel in any training slice. Stops at the slice in which all are known.
    pub(super) fn absent_classes(&self) -> Vec<String> {
        let names = self.manifest().labels.class_names();
        let mut absent: Vec<usize> = (1..names.len()).collect();
        for source in &self.sources {
            for &index in &source.train {
                if absent.is_empty() {
                    return Vec::new();
                }
                let label = source.store.label(index as usize);
                absent.retain(|&class| !label.contains(&(class as u8)));
            }
        }
        absent.into_iter().map(|class| names[class].clone()).collect()
    }

    /// Names of the sources without a validation part, where the network is chosen on others of their kind.
    pub(super) fn without_validation(&self) -> Vec<&str> {
        self.sources
            .iter()
            .filter(|source| source.val.is_empty() && !source.is_spared)
            .map(|source| source.name.as_str())
            .collect()
    }

    /// The batch of the step that begins after `images_seen` images: images u8 `[batch, C, H, W]` and labels
    /// u8 `[batch, H, W]`. Every source goes through its slices in passes, each in a new order; the batch is a
    /// function of `images_seen` alone.
    pub(super) fn batch(&mut self, images_seen: u64, device: Device) -> Result<(Tensor, Tensor), TrainError> {
        let step = images_seen / self.batch as u64;
        let (mut images, mut labels) = (self.images.as_mut_slice(), self.labels.as_mut_slice());
        for source in &mut self.sources {
            let indices = source.order.batch(step * source.share as u64, source.share);
            let manifest = source.store.manifest();
            let (image_part, image_rest) = images.split_at_mut(source.share * manifest.image_bytes());
            let (label_part, label_rest) = labels.split_at_mut(source.share * manifest.label_bytes());
            source.store.gather(&indices, image_part, label_part)?;
            (images, labels) = (image_rest, label_rest);
        }
        Ok(tensors(self.manifest(), &self.images, &self.labels, device))
    }

    /// Calls `each` with the validation slices of all sources, `block` at a time, in a fixed order, until it breaks; shapes
    /// as in [`Self::batch`].
    pub(super) fn validation(
        &self,
        block: usize,
        device: Device,
        mut each: impl FnMut(&Tensor, &Tensor) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, TrainError> {
        for source in &self.sources {
            let manifest = source.store.manifest();
            for indices in source.val.chunks(block) {
                let mut images = vec![0; indices.len() * manifest.image_bytes()];
                let mut labels = vec![0; indices.len() * manifest.label_bytes()];
                source.store.gather(indices, &mut images, &mut labels)?;
                let (images, labels) = tensors(manifest, &images, &labels, device);
                if each(&images, &labels).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

fn tensors(manifest: &StoreManifest, images: &[u8], labels: &[u8], device: Device) -> (Tensor, Tensor) {
    let (channels, height, width) =
        (manifest.channels.len() as i64, manifest.height as i64, manifest.width as i64);
    (
        Tensor::from_slice(images).view([-1, channels, height, width]).to_device(device),
        Tensor::from_slice(labels).view([-1, height, width]).to_device(device),
    )
}

fn open_source(config: &SegmenterConfig, source: &Source, index: usize) -> Result<Open, TrainError> {
    let path = &source.selection.path;
    let name = files::name_of(path);
    if let Some(split) = source.selection.split.filter(|&split| split != Split::Train) {
        return Err(TrainError::Mismatch {
            what: source.selection.to_string(),
            expected: "the part train".into(),
            found: split.to_string(),
            hint: "a segmenter learns from train and is chosen on val; test and control stay unseen".into(),
        });
    }
    let store = SliceStore::open(path)?;
    let train = store.select(Some(Split::Train))?;
    let val = match store.select(Some(Split::Val)) {
        Ok(val) => evenly(&val, config.validation_slices),
        Err(StoreError::EmptySplit { .. }) => Vec::new(),
        Err(error) => return Err(error.into()),
    };
    // Sources of equal length are still visited in different orders.
    let seed = rng(config.seed, Stream::Order, u64::MAX - index as u64).below(u64::MAX);
    let order = BatchOrder::new(seed, train.clone());
    Ok(Open { name, weight: source.weight, store, train, order, val, is_spared: false, share: 0 })
}

fn check_resolution(config: &SegmenterConfig, source: &Open) -> Result<(), TrainError> {
    let (manifest, side) = (source.store.manifest(), config.resolution as usize);
    if (manifest.height, manifest.width) == (side, side) {
        return Ok(());
    }
    Err(TrainError::Mismatch {
        what: format!("resolution of {}", source.name),
        expected: format!("{side}x{side}"),
        found: format!("{}x{}", manifest.height, manifest.width),
        hint: "choose the preset of this resolution, or import with --resolution".into(),
    })
}

/// Channels and classes mean the same in both stores.
fn check_alike(first: &Open, other: &Open) -> Result<(), TrainError> {
    let (a, b) = (first.store.manifest(), other.store.manifest());
    let differ = |what: &str, expected: &[String], found: &[String]| TrainError::Mismatch {
        what: format!("{what} of {}", other.name),
        expected: format!("{} as in {}", expected.join(", "), first.name),
        found: found.join(", "),
        hint: format!("sources of one training have the same {what} in the same order"),
    };
    if a.channels != b.channels {
        return Err(differ("channels", &a.channels, &b.channels));
    }
    if a.labels.class_names() != b.labels.class_names() {
        return Err(differ("classes", &a.labels.class_names(), &b.labels.class_names()));
    }
    Ok(())
}

/// At most `limit` of the indices, spread evenly.
fn evenly(indices: &[u32], limit: usize) -> Vec<u32> {
    let count = indices.len().min(limit);
    (0..count).map(|i| indices[i * indices.len() / count]).collect()
}

/// Whole images of a batch for each weight, by the largest remainder; equal remainders go to the earlier one.
fn shares_of(weights: &[f64], batch: usize) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    let exact: Vec<f64> = weights.iter().map(|weight| weight / sum * batch as f64).collect();
    let mut shares: Vec<usize> = exact.iter().map(|share| share.floor() as usize).collect();
    let mut by_remainder: Vec<usize> = (0..weights.len()).collect();
    by_remainder.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let missing = batch.saturating_sub(shares.iter().sum());
    for &index in by_remainder.iter().cycle().take(missing) {
        shares[index] += 1;
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_is_a_store_a_part_and_a_weight() {
        let source: Source = "a/syn.store:train*2.5".parse().unwrap();
        assert_eq!(source.selection.to_string(), "a/syn.store:train");
        assert_eq!(source.weight, 2.5);
        assert_eq!(source.to_string(), "a/syn.store:train*2.5");
        assert_eq!("syn.store".parse::<Source>().unwrap().weight, 1.0);
        for text in ["syn.store*", "syn.store*x", "syn.store*0", "syn.store*-1", "syn.store*inf"] {
            assert!(matches!(text.parse::<Source>(), Err(SourceError::Weight { .. })), "{text}");
        }
        assert!(matches!("syn.store:tset*2".parse::<Source>(), Err(SourceError::Selection(_))));
    }

    #[test]
    fn batches_are_divided_by_weight() {
        assert_eq!(shares_of(&[1.0], 16), [16]);
        assert_eq!(shares_of(&[1.0, 1.0], 16), [8, 8]);
        assert_eq!(shares_of(&[1.0, 1.0, 1.0], 16), [6, 5, 5]);
        assert_eq!(shares_of(&[3.0, 1.0], 16), [12, 4]);
        assert_eq!(shares_of(&[1000.0, 1.0], 16), [16, 0]);
    }

    #[test]
    fn a_limited_validation_part_is_spread_evenly() {
        assert_eq!(evenly(&[3, 5, 7, 9, 11, 13], 3), [3, 7, 11]);
        assert_eq!(evenly(&[3, 5], 3), [3, 5]);
    }
}

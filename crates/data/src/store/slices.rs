//! Reading a store.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Deserialize;
use synthmr_core::files;
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{Origin, SCHEMA, StoreManifest};
use synthmr_core::{Digest, Split, limits};

use super::shard::{Shard, damaged};
use super::{MANIFEST_FILE, StoreError, shard_file};

/// Share of a synthetic set's images that are its training part; the rest is its validation part.
const SYNTHETIC_TRAIN_SHARE: f64 = 0.8;

/// A store opened for reading; its pixels stay on disk until they are touched. Cheap to share between
/// threads, all methods take `&self`.
#[derive(Debug)]
pub struct SliceStore {
    path: PathBuf,
    manifest: StoreManifest,
    digest: Digest,
    shards: Vec<Shard>,
    /// Index of the first slice of every shard.
    starts: Vec<usize>,
}

impl SliceStore {
    /// Opens a store: reads the manifest, maps the shards and checks their headers against it.
    ///
    /// # Errors
    /// [`StoreError`] naming the file: not a store, a schema this version does not know, a manifest beyond
    /// the limits or in contradiction to itself, a missing or damaged shard, an empty store. Pixels are not
    /// read here: see [`Self::verify`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let manifest_path = path.join(MANIFEST_FILE);
        if !manifest_path.is_file() {
            let found = match (path.exists(), path.is_dir()) {
                (_, true) => "a folder without it",
                (true, false) => "a file",
                (false, _) => "nothing there",
            };
            return Err(StoreError::NotAStore { path: path.to_owned(), found });
        }
        let text = files::read_text(&manifest_path)?;
        let invalid = |message: String| StoreError::Manifest { path: manifest_path.clone(), message };
        // The schema is looked at first: a manifest from the future has fields that this version refuses.
        let Versioned { schema } = serde_json::from_str(&text).map_err(|e| invalid(e.to_string()))?;
        if schema != u64::from(SCHEMA) {
            return Err(StoreError::Schema { path: manifest_path, expected: SCHEMA, found: schema });
        }
        let manifest: StoreManifest = serde_json::from_str(&text).map_err(|e| invalid(e.to_string()))?;
        if manifest.slices == 0 {
            return Err(StoreError::Empty { path: path.to_owned(), hint: "make the store again" });
        }
        check_manifest(&manifest).map_err(invalid)?;
        let shards: Vec<Shard> = manifest
            .shards
            .iter()
            .map(|record| Shard::open(path.join(&record.file), &manifest, record.slices))
            .collect::<Result<_, _>>()?;
        let starts = manifest.shards.iter().scan(0, |next, record| {
            let start = *next;
            *next += record.slices;
            Some(start)
        });
        let starts = starts.collect();
        let slices: Vec<(i32, i32)> = shards
            .iter()
            .flat_map(|shard| shard.subject.iter().copied().zip(shard.slice.iter().copied()))
            .collect();
        check_slices(&manifest, &slices).map_err(invalid)?;
        Ok(Self { path: path.to_owned(), digest: Digest::of(text.as_bytes()), manifest, shards, starts })
    }

    /// The store's folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What the store holds.
    pub fn manifest(&self) -> &StoreManifest {
        &self.manifest
    }

    /// Digest of `manifest.json`, which holds the digests of the shards: the identity of the store's content.
    pub fn digest(&self) -> &Digest {
        &self.digest
    }

    /// Number of slices.
    pub fn len(&self) -> usize {
        self.manifest.slices
    }

    /// Never true for a store that could be opened.
    pub fn is_empty(&self) -> bool {
        self.manifest.slices == 0
    }

    /// The images of slice `i`, u8 `[C, H, W]`.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    pub fn image(&self, i: usize) -> &[u8] {
        let (shard, i) = self.locate(i);
        shard.image(i, self.manifest.image_bytes())
    }

    /// The label map of slice `i`, class indices `[H, W]`; as on disk, see [`Self::verify`].
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    pub fn label(&self, i: usize) -> &[u8] {
        let (shard, i) = self.locate(i);
        shard.label(i, self.manifest.label_bytes())
    }

    /// Index of the slice's subject in the manifest; none for synthetic images.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    pub fn subject(&self, i: usize) -> Option<u32> {
        let (shard, i) = self.locate(i);
        u32::try_from(shard.subject[i]).ok()
    }

    /// Number of the slice in its prepared volume (from the feet up), or of the image in its set.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    pub fn slice(&self, i: usize) -> i32 {
        let (shard, i) = self.locate(i);
        shard.slice[i]
    }

    /// The slices of one part, in the store's order. Real slices follow their subject. Synthetic images are
    /// divided one by one by a keyed hash of their index, 80 % `train` and 20 % `val`; they have no other part.
    pub fn indices(&self, split: Split) -> Vec<u32> {
        (0..self.len() as u32).filter(|&i| self.split_of(i as usize) == split).collect()
    }

    /// The part that slice `i` belongs to.
    ///
    /// # Panics
    /// When `i` is not below [`Self::len`].
    pub fn split_of(&self, i: usize) -> Split {
        match (&self.manifest.origin, self.subject(i)) {
            (Origin::Cohort { subjects, .. }, Some(subject)) => subjects[subject as usize].split,
            _ if rng(0, Stream::ImageSplit, i as u64).uniform() < SYNTHETIC_TRAIN_SHARE => Split::Train,
            _ => Split::Val,
        }
    }

    /// The slices of one part, or all of them.
    ///
    /// # Errors
    /// [`StoreError::EmptySplit`] when the part has no slices; the hint names the parts that have.
    pub fn select(&self, split: Option<Split>) -> Result<Vec<u32>, StoreError> {
        let Some(split) = split else { return Ok((0..self.len() as u32).collect()) };
        let indices = self.indices(split);
        if indices.is_empty() {
            let filled: Vec<&str> = Split::ALL
                .into_iter()
                .filter(|&other| !self.indices(other).is_empty())
                .map(Split::name)
                .collect();
            let hint = format!("this store has {}", filled.join(", "));
            return Err(StoreError::EmptySplit { path: self.path.clone(), split, hint });
        }
        Ok(indices)
    }

    /// Copies slices one after the other: `images` becomes u8 `[n, C, H, W]`, `labels` u8 `[n, H, W]`.
    ///
    /// # Errors
    /// [`StoreError::Label`] when a label is no class of the scheme: a damaged store never reaches a network.
    ///
    /// # Panics
    /// When a buffer has another size than the slices need, or an index is not below [`Self::len`].
    pub fn gather(&self, indices: &[u32], images: &mut [u8], labels: &mut [u8]) -> Result<(), StoreError> {
        let (image_bytes, label_bytes) = (self.manifest.image_bytes(), self.manifest.label_bytes());
        assert_eq!(images.len(), indices.len() * image_bytes, "room for the images of every index");
        assert_eq!(labels.len(), indices.len() * label_bytes, "room for the labels of every index");
        let image_cells = images.chunks_exact_mut(image_bytes);
        let label_cells = labels.chunks_exact_mut(label_bytes);
        for ((&i, image), label) in indices.iter().zip(image_cells).zip(label_cells) {
            let (shard, local) = self.locate(i as usize);
            image.copy_from_slice(shard.image(local, image_bytes));
            label.copy_from_slice(shard.label(local, label_bytes));
            self.check_label(i as usize, label)?;
        }
        Ok(())
    }

    /// Reads everything: the digest of every shard against the manifest and every label against the scheme. Runs
    /// on rayon's threads, at about the speed of memory when the shards are cached.
    ///
    /// # Errors
    /// [`StoreError::DamagedShard`] or [`StoreError::Label`], of the first fault.
    pub fn verify(&self) -> Result<(), StoreError> {
        // One shard after the other, each on all threads: the disk is read from start to end.
        for (shard, record) in self.shards.iter().zip(&self.manifest.shards) {
            let found = Digest::of_large(shard.bytes());
            if found != record.digest {
                let message = format!("expected digest {}, found {}", record.digest.short(), found.short());
                return Err(damaged(shard.path(), message));
            }
        }
        let checks = (0..self.len()).into_par_iter().map(|i| self.check_label(i, self.label(i)));
        checks.find_first(Result::is_err).unwrap_or(Ok(()))
    }

    fn check_label(&self, i: usize, label: &[u8]) -> Result<(), StoreError> {
        let classes = self.manifest.labels.class_count();
        let found = label.iter().copied().max().unwrap_or(0);
        if usize::from(found) < classes {
            return Ok(());
        }
        Err(StoreError::Label { path: self.path.clone(), slice: i, classes, found })
    }

    fn locate(&self, i: usize) -> (&Shard, usize) {
        assert!(i < self.len(), "slice {i} of a store with {}", self.len());
        let shard = self.starts.partition_point(|&start| start <= i) - 1;
        (&self.shards[shard], i - self.starts[shard])
    }
}

/// The one field of a manifest that every version has.
#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

/// What [`SliceStore`] relies on, and the limits; the message says what was expected and found.
pub(super) fn check_manifest(manifest: &StoreManifest) -> Result<(), String> {
    let within = |what: &str, found: usize, limit: usize| {
        if (1..=limit).contains(&found) {
            return Ok(());
        }
        Err(format!("expected 1 to {limit} {what}, found {found}"))
    };
    within("channels", manifest.channels.len(), limits::IMAGE_CHANNELS)?;
    within("rows", manifest.height, limits::RESOLUTION)?;
    within("columns", manifest.width, limits::RESOLUTION)?;
    within("slices", manifest.slices, u32::MAX as usize)?;
    manifest.labels.validate().map_err(|e| e.to_string())?;
    for (i, record) in manifest.shards.iter().enumerate() {
        // Names are ours and fixed: one that points elsewhere is never followed.
        if record.file != shard_file(i) {
            return Err(format!("expected shard {i} to be {:?}, found {:?}", shard_file(i), record.file));
        }
        within("slices in a shard", record.slices, manifest.slices)?;
    }
    let listed: usize = manifest.shards.iter().map(|record| record.slices).sum();
    if listed != manifest.slices {
        return Err(format!("expected {} slices over all shards, found {listed}", manifest.slices));
    }
    Ok(())
}

/// Checks subject (-1 for none) and number of every slice against the manifest's origin. A real slice is the
/// only one of its subject with its number, and no number is beyond any volume: consumers stack slices by it.
pub(super) fn check_slices(manifest: &StoreManifest, slices: &[(i32, i32)]) -> Result<(), String> {
    let Origin::Cohort { subjects: records, .. } = &manifest.origin else {
        if let Some((subject, _)) = slices.iter().find(|(subject, _)| *subject != -1) {
            return Err(format!("expected no subjects in a synthetic set, found {subject}"));
        }
        return match slices.iter().find(|(_, number)| *number < 0) {
            Some((_, number)) => Err(format!("expected images numbered from 0, found {number}")),
            None => Ok(()),
        };
    };
    if let Some((subject, number)) =
        slices.iter().find(|(_, number)| !(0..=limits::SLICE_NUMBER).contains(number))
    {
        return Err(format!(
            "expected slices numbered 0 to {}, found {number} of subject {subject}",
            limits::SLICE_NUMBER
        ));
    }
    let mut sorted = slices.to_vec();
    sorted.sort_unstable();
    if let Some([(subject, number), _]) = sorted.array_windows().find(|[a, b]| a == b) {
        return Err(format!("expected every slice once, found slice {number} of subject {subject} twice"));
    }
    let mut counts = vec![0usize; records.len()];
    for &(subject, _) in slices {
        let count = usize::try_from(subject).ok().and_then(|index| counts.get_mut(index));
        *count.ok_or_else(|| format!("expected subjects 0 to {}, found {subject}", records.len()))? += 1;
    }
    match records.iter().zip(&counts).position(|(record, &count)| record.slices != count) {
        Some(i) => Err(format!("expected {} slices of subject {i}, found {}", records[i].slices, counts[i])),
        None => Ok(()),
    }
}

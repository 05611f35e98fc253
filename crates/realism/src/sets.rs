//! The images that are compared.

use std::collections::{BTreeMap, BTreeSet};

use synthmr_core::records::InputRecord;
use synthmr_core::{Split, files};
use synthmr_data::store::{SliceStore, StoreSelection};

use crate::RealismError;

/// Fewest images of a set: below it halves have no covariance and no neighbours.
const FEWEST_IMAGES: usize = 20;

/// Fewest subjects of a held-out part that is worth comparing with.
const FEWEST_HELD_OUT: usize = 3;

/// Some images of a store.
pub(crate) struct Set<'a> {
    pub(crate) store: &'a SliceStore,
    /// The images, by their index in the store.
    pub(crate) indices: Vec<u32>,
    /// For each of the real store's contrasts its place in this one.
    pub(crate) channels: Vec<usize>,
    /// As it was asked for.
    split: Option<Split>,
}

impl Set<'_> {
    /// Number of images.
    pub(crate) fn len(&self) -> usize {
        self.indices.len()
    }

    /// The images of each subject, by their place in [`Self::indices`]; a synthetic image stands for itself.
    pub(crate) fn units(&self) -> Vec<Vec<u32>> {
        let mut of_subject: BTreeMap<u32, usize> = BTreeMap::new();
        let mut units: Vec<Vec<u32>> = Vec::new();
        for (place, &index) in self.indices.iter().enumerate() {
            let known = self
                .store
                .subject(index as usize)
                .map(|subject| *of_subject.entry(subject).or_insert(units.len()));
            match known.and_then(|unit| units.get_mut(unit)) {
                Some(unit) => unit.push(place as u32),
                None => units.push(vec![place as u32]),
            }
        }
        units
    }

    /// One contrast of an image, `[H, W]`; both by their place in this set.
    pub(crate) fn plane(&self, place: usize, channel: usize) -> &[u8] {
        let pixels = self.store.manifest().label_bytes();
        let image = self.store.image(self.indices[place] as usize);
        let channel = self.channels[channel];
        &image[channel * pixels..(channel + 1) * pixels]
    }

    /// The annotation of an image, `[H, W]`.
    pub(crate) fn label(&self, place: usize) -> &[u8] {
        self.store.label(self.indices[place] as usize)
    }

    /// As records name it.
    pub(crate) fn record(&self) -> InputRecord {
        InputRecord {
            name: files::name_of(self.store.path()),
            digest: self.store.digest().clone(),
            split: self.split.map_or_else(String::new, |split| split.to_string()),
            weight: None,
            images: self.len(),
        }
    }
}

/// The stores of a comparison, opened and found to show the same things.
pub struct Sets {
    real_store: SliceStore,
    synthetic_store: SliceStore,
    real_split: Option<Split>,
    synthetic_split: Option<Split>,
    real_indices: Vec<u32>,
    synthetic_indices: Vec<u32>,
    held_out: Option<(Split, Vec<u32>)>,
    synthetic_channels: Vec<usize>,
}

impl Sets {
    /// Opens both, reads all of them once, and looks for another part of the real store to hold beside the real images:
    /// `test`, `control`, `val` or `train`, the first that has subjects enough. Without a part in `real` there is none.
    ///
    /// # Errors
    /// [`RealismError::Store`] for stores that are no stores, empty or damaged; [`RealismError::Mismatch`] for other
    /// contrasts, sizes or classes; [`RealismError::NotReal`]; [`RealismError::TooFew`].
    pub fn open(real: &StoreSelection, synthetic: &StoreSelection) -> Result<Self, RealismError> {
        let (real_store, real_indices) = real.open()?;
        let (synthetic_store, synthetic_indices) = synthetic.open()?;
        if !real_store.manifest().is_real() {
            return Err(RealismError::NotReal { path: real.path.clone() });
        }
        let synthetic_channels = matching_channels(&real_store, &synthetic_store)?;
        for (selection, indices) in [(real, &real_indices), (synthetic, &synthetic_indices)] {
            if indices.len() < FEWEST_IMAGES {
                let (path, found) = (selection.path.clone(), indices.len());
                return Err(RealismError::TooFew { path, needed: FEWEST_IMAGES, found });
            }
        }
        if real_store.digest() == synthetic_store.digest() {
            let known: BTreeSet<&u32> = real_indices.iter().collect();
            let shared = synthetic_indices.iter().filter(|index| known.contains(index)).count();
            if shared > 0 {
                return Err(RealismError::Shared { path: synthetic.path.clone(), shared });
            }
        }
        real_store.verify()?;
        synthetic_store.verify()?;
        let held_out = real.split.and_then(|split| held_out(&real_store, split));
        Ok(Self {
            real_split: real.split,
            synthetic_split: synthetic.split,
            real_store,
            synthetic_store,
            real_indices,
            synthetic_indices,
            held_out,
            synthetic_channels,
        })
    }

    pub(crate) fn real(&self) -> Set<'_> {
        self.of_real(self.real_split, self.real_indices.clone())
    }

    pub(crate) fn synthetic(&self) -> Set<'_> {
        Set {
            store: &self.synthetic_store,
            indices: self.synthetic_indices.clone(),
            channels: self.synthetic_channels.clone(),
            split: self.synthetic_split,
        }
    }

    pub(crate) fn held_out(&self) -> Option<Set<'_>> {
        self.held_out.as_ref().map(|(split, indices)| self.of_real(Some(*split), indices.clone()))
    }

    fn of_real(&self, split: Option<Split>, indices: Vec<u32>) -> Set<'_> {
        let channels = (0..self.real_store.manifest().channels.len()).collect();
        Set { store: &self.real_store, indices, channels, split }
    }

    /// The real store, for checks against a network.
    pub fn real_store(&self) -> &SliceStore {
        &self.real_store
    }
}

/// For each contrast of `real` its place in `other`.
fn matching_channels(real: &SliceStore, other: &SliceStore) -> Result<Vec<usize>, RealismError> {
    let (expected, found) = (real.manifest(), other.manifest());
    let mismatch = |what: &str, expected: String, found: String, hint: &'static str| RealismError::Mismatch {
        what: format!("{what} of {}", other.path().display()),
        expected,
        real: real.path().to_owned(),
        found,
        hint,
    };
    let place = |name: &String| found.channels.iter().position(|other| other == name);
    let places: Option<Vec<usize>> = expected.channels.iter().map(place).collect();
    let places = places.filter(|places| places.len() == found.channels.len()).ok_or_else(|| {
        let (expected, found) = (expected.channels.join(", "), found.channels.join(", "));
        mismatch(
            "contrasts",
            expected,
            found,
            "compare sets of the same contrasts; their order does not matter",
        )
    })?;
    if (expected.height, expected.width) != (found.height, found.width) {
        let size = |height: usize, width: usize| format!("{height}x{width} pixels");
        return Err(mismatch(
            "size of the images",
            size(expected.height, expected.width),
            size(found.height, found.width),
            "import the cohort at the resolution of the synthetic set",
        ));
    }
    let (classes, found) = (expected.labels.class_names(), found.labels.class_names());
    if classes != found {
        let hint = "compare sets with the same annotation";
        return Err(mismatch("classes", classes.join(", "), found.join(", "), hint));
    }
    Ok(places)
}

fn held_out(store: &SliceStore, used: Split) -> Option<(Split, Vec<u32>)> {
    [Split::Test, Split::Control, Split::Val, Split::Train]
        .into_iter()
        .filter(|&split| split != used)
        .find_map(|split| {
            let indices = store.indices(split);
            let mut subjects: Vec<Option<u32>> = indices.iter().map(|&i| store.subject(i as usize)).collect();
            subjects.sort_unstable();
            subjects.dedup();
            let enough = subjects.len() >= FEWEST_HELD_OUT && indices.len() >= FEWEST_IMAGES;
            enough.then_some((split, indices))
        })
}

//! A small phantom cohort, and sets made of its slices.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use synthmr_core::records::{InputRecord, Origin, SamplingRecord};
use synthmr_data::cohort;
use synthmr_data::import::{ImportOptions, import};
use synthmr_data::phantom::{self, PhantomOptions};
use synthmr_data::prepare::{Preparation, Recipe};
use synthmr_data::split::SplitRequest;
use synthmr_data::store::{SliceStore, StoreLayout, StoreWriter};

/// Subjects, and pixels of a slice.
const SUBJECTS: usize = 16;
const SIDE: usize = 32;

/// A cohort with its parts in a temporary folder.
pub(crate) struct Fixture {
    folder: tempfile::TempDir,
    pub(crate) store: SliceStore,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        synthmr_nets::engine::set_threads(1);
        let folder = tempfile::tempdir().unwrap();
        let store = make(folder.path(), SUBJECTS, 7, "train=0.55,val=0.12,control=0.2,test=0.13");
        Self { folder, store }
    }

    /// Slices of two people who are in no part of the cohort.
    pub(crate) fn strangers(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        let folder = self.path("strangers");
        std::fs::create_dir(&folder).unwrap();
        let store = make(&folder, 2, 8, "train=1.0");
        (0..store.len()).map(|i| (store.image(i).to_vec(), store.label(i).to_vec())).collect()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A synthetic set of these images and annotations.
    pub(crate) fn set(&self, name: &str, slices: &[(Vec<u8>, Vec<u8>)]) -> SliceStore {
        write_set(&self.path(name), layout(&self.store), slices)
    }

    /// A slice of the cohort.
    pub(crate) fn slice(&self, index: u32) -> (Vec<u8>, Vec<u8>) {
        (self.store.image(index as usize).to_vec(), self.store.label(index as usize).to_vec())
    }
}

fn make(folder: &Path, subjects: usize, seed: u64, split: &str) -> SliceStore {
    let path = folder.join("ph");
    let options = PhantomOptions { subjects, seed, size: 2 * SIDE };
    phantom::generate(&path, &options, &|_| ControlFlow::Continue(())).unwrap();
    let options = ImportOptions {
        preparation: Preparation::new(Recipe::Robust, SIDE).unwrap(),
        split: SplitRequest::parse(split).unwrap(),
        seed: 7,
        pseudonym_key: 1,
    };
    let out = folder.join("ph.store");
    import(&cohort::discover(&path).unwrap(), &out, &options, &|_| ControlFlow::Continue(())).unwrap();
    SliceStore::open(&out).unwrap()
}

pub(crate) fn layout(store: &SliceStore) -> StoreLayout {
    let manifest = store.manifest();
    StoreLayout {
        channels: manifest.channels.clone(),
        height: manifest.height,
        width: manifest.width,
        labels: manifest.labels.clone(),
    }
}

pub(crate) fn write_set(path: &Path, layout: StoreLayout, slices: &[(Vec<u8>, Vec<u8>)]) -> SliceStore {
    let mut writer = StoreWriter::create(path, layout).unwrap();
    for (i, (image, label)) in slices.iter().enumerate() {
        writer.push(image, label, None, i as i32).unwrap();
    }
    let sampling = SamplingRecord::without_generators();
    writer.finish(Origin::Sampled(Box::new(sampling))).unwrap();
    SliceStore::open(path).unwrap()
}

pub(crate) fn input(name: &str, store: &SliceStore) -> InputRecord {
    InputRecord {
        name: name.into(),
        digest: store.digest().clone(),
        split: String::new(),
        weight: None,
        images: store.len(),
    }
}

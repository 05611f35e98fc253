//! The slice store from outside: what is written is read, and every fault is an error that says what is wrong.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test")]

use std::fs;
use std::path::{Path, PathBuf};

use synthmr_core::records::{
    Origin, PreparationRecord, SamplingRecord, SplitMethod, SplitRecord, StoreManifest, SubjectRecord,
};
use synthmr_core::{Digest, LabelScheme, Split, limits};
use synthmr_data::store::{SliceStore, StoreError, StoreLayout, StoreWriter};

const SIDE: usize = 8;

fn layout() -> StoreLayout {
    let channels = ["T1", "T2"].map(str::to_owned).to_vec();
    StoreLayout { channels, height: SIDE, width: SIDE, labels: LabelScheme::brats() }
}

fn cohort_origin(slices: [usize; 3]) -> Origin {
    let splits = [Split::Train, Split::Val, Split::Test];
    let subjects = std::iter::zip(slices, splits)
        .map(|(slices, split)| SubjectRecord {
            pseudonym: Digest::of(split.name().as_bytes()),
            split,
            slices,
            spacing_mm: [1.0; 3],
        })
        .collect();
    Origin::Cohort {
        preparation: PreparationRecord { recipe: "robust".into(), steps: vec![] },
        split: SplitRecord {
            method: SplitMethod::List,
            request: "test".into(),
            digest: Digest::of(b"split"),
        },
        subjects,
    }
}

fn sampled_origin() -> Origin {
    Origin::Sampled(Box::new(SamplingRecord::without_generators()))
}

fn image(i: usize) -> Vec<u8> {
    (0..2 * SIDE * SIDE).map(|p| (p * 7 + i * 13) as u8).collect()
}

fn label(i: usize) -> Vec<u8> {
    (0..SIDE * SIDE).map(|p| ((p + i) % 4) as u8).collect()
}

/// A cohort's store of 9 slices: subject 0 has 4, subject 1 has 3, subject 2 has 2.
fn write_cohort(path: &Path) -> StoreManifest {
    let mut writer = StoreWriter::create(path, layout()).unwrap();
    for (i, subject) in [0, 0, 0, 0, 1, 1, 1, 2, 2].into_iter().enumerate() {
        writer.push(&image(i), &label(i), Some(subject), 100 + i as i32).unwrap();
    }
    writer.finish(cohort_origin([4, 3, 2])).unwrap()
}

fn store_in(folder: &tempfile::TempDir) -> PathBuf {
    let path = folder.path().join("x.store");
    write_cohort(&path);
    path
}

/// The first shard's bytes changed by `change`, and what opening then says.
fn opened_after(change: impl FnOnce(&mut Vec<u8>)) -> Result<SliceStore, StoreError> {
    let folder = tempfile::tempdir().unwrap();
    let path = store_in(&folder);
    let shard = path.join("shard-00000.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    change(&mut bytes);
    fs::write(&shard, bytes).unwrap();
    SliceStore::open(&path)
}

fn with_manifest(change: impl FnOnce(&mut serde_json::Value)) -> Result<SliceStore, StoreError> {
    let folder = tempfile::tempdir().unwrap();
    let path = store_in(&folder);
    let file = path.join("manifest.json");
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    change(&mut manifest);
    fs::write(&file, manifest.to_string()).unwrap();
    SliceStore::open(&path)
}

#[test]
fn what_is_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.store");
    let manifest = write_cohort(&path);
    let store = SliceStore::open(&path).unwrap();
    assert_eq!(store.manifest(), &manifest);
    assert_eq!(store.len(), 9);
    for i in 0..9 {
        assert_eq!(store.image(i), image(i));
        assert_eq!(store.label(i), label(i));
        assert_eq!(store.slice(i), 100 + i as i32);
    }
    assert_eq!(store.subject(8), Some(2));
    assert_eq!(store.indices(Split::Train), [0, 1, 2, 3]);
    assert_eq!(store.indices(Split::Test), [7, 8]);
    assert!(store.indices(Split::Control).is_empty());
    let message = store.select(Some(Split::Control)).unwrap_err().to_string();
    assert!(message.contains("control") && message.contains("train, val, test"), "{message}");
    store.verify().unwrap();
    assert_eq!(store.digest(), &Digest::of(&fs::read(path.join("manifest.json")).unwrap()));

    let (mut images, mut labels) = (vec![0; 3 * image(0).len()], vec![0; 3 * SIDE * SIDE]);
    store.gather(&[5, 0, 5], &mut images, &mut labels).unwrap();
    assert_eq!(images, [image(5), image(0), image(5)].concat());
    assert_eq!(labels, [label(5), label(0), label(5)].concat());
}

#[test]
fn the_same_slices_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.store", "b.store"].map(|name| write_cohort(&folder.path().join(name)));
    assert_eq!(a, b);
}

#[test]
fn many_slices_make_many_shards() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.store");
    let side = 1024;
    let layout = StoreLayout { height: side, width: side, channels: vec!["T1".into()], ..layout() };
    let mut writer = StoreWriter::create(&path, layout).unwrap();
    for i in 0..40usize {
        writer.push(&vec![i as u8; side * side], &vec![0; side * side], None, i as i32).unwrap();
    }
    let manifest = writer.finish(sampled_origin()).unwrap();
    assert_eq!(manifest.shards.iter().map(|s| s.slices).collect::<Vec<_>>(), [32, 8]);
    let store = SliceStore::open(&path).unwrap();
    assert!((0..40).all(|i| store.image(i)[99] == i as u8 && store.slice(i) == i as i32));
}

#[test]
fn synthetic_images_are_divided_by_index() {
    let folder = tempfile::tempdir().unwrap();
    let write = |count: usize| {
        let path = folder.path().join(format!("{count}.store"));
        let mut writer = StoreWriter::create(&path, layout()).unwrap();
        (0..count).for_each(|i| writer.push(&image(i), &label(i), None, i as i32).unwrap());
        writer.finish(sampled_origin()).unwrap();
        SliceStore::open(&path).unwrap()
    };
    let (small, large) = (write(500), write(1000));
    let train = large.indices(Split::Train);
    // Five standard deviations of a binomial(1000, 0.8): 5 * 12.6.
    assert!(train.len().abs_diff(800) < 63, "{}", train.len());
    assert_eq!(large.indices(Split::Val).len(), 1000 - train.len());
    assert!(large.indices(Split::Control).is_empty() && large.indices(Split::Test).is_empty());
    let first_half: Vec<u32> = train.into_iter().filter(|&i| i < 500).collect();
    assert_eq!(small.indices(Split::Train), first_half, "more images never move others");
    assert_eq!(small.subject(0), None);
}

#[test]
fn an_unfinished_store_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.store");
    let mut writer = StoreWriter::create(&path, layout()).unwrap();
    writer.push(&image(0), &label(0), Some(0), 0).unwrap();
    drop(writer);
    let empty = StoreWriter::create(&path, layout()).unwrap().finish(cohort_origin([0; 3]));
    assert!(matches!(empty, Err(StoreError::Empty { .. })));
    let mut writer = StoreWriter::create(&path, layout()).unwrap();
    writer.push(&image(0), &label(0), Some(1), 0).unwrap();
    let wrong_counts = writer.finish(cohort_origin([1, 0, 0]));
    assert!(matches!(wrong_counts, Err(StoreError::Manifest { .. })));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn rejects_what_is_not_a_store() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    for (path, found) in
        [(folder.path(), "a folder without it"), (&file, "a file"), (Path::new("/no/such"), "nothing")]
    {
        let message = SliceStore::open(path).unwrap_err().to_string();
        assert!(message.contains(found) && message.contains("hint:"), "{message}");
    }
}

#[test]
fn rejects_manifests_that_cannot_be_right() {
    let refused = |change: fn(&mut serde_json::Value), expected: &str| {
        let message = with_manifest(change).unwrap_err().to_string();
        assert!(message.contains("manifest.json") && message.contains(expected), "{message}");
    };
    refused(|m| m["schema"] = 2.into(), "expected schema 1, found 2");
    refused(|m| m["unheard_of"] = 1.into(), "unheard_of");
    refused(|m| m["channels"] = vec!["x"; 33].into(), "channels");
    refused(|m| m["height"] = 4096.into(), "rows");
    refused(|m| m["slices"] = 10.into(), "10 slices over all shards, found 9");
    refused(|m| m["shards"][0]["file"] = "../shard-00000.safetensors".into(), "../shard");
    refused(|m| m["labels"]["classes"][0]["gray"] = 3.into(), "background");
    refused(|m| m["origin"]["cohort"]["subjects"][0]["slices"] = 5.into(), "expected 5 slices of subject 0");
    refused(|m| m["origin"]["cohort"]["subjects"] = vec![0; 0].into(), "found 0");
    let empty = with_manifest(|m| m["slices"] = 0.into()).unwrap_err().to_string();
    assert!(empty.contains("at least one slice"), "{empty}");
}

#[test]
fn rejects_missing_and_damaged_shards() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_in(&folder);
    fs::remove_file(path.join("shard-00000.safetensors")).unwrap();
    assert!(matches!(SliceStore::open(&path), Err(StoreError::MissingShard { .. })));

    let damaged = |change: fn(&mut Vec<u8>)| {
        let error = opened_after(change).unwrap_err();
        assert!(matches!(error, StoreError::DamagedShard { .. }), "{error}");
    };
    damaged(|bytes| bytes.clear());
    damaged(|bytes| bytes.truncate(7));
    damaged(|bytes| bytes.truncate(bytes.len() - 1));
    damaged(|bytes| bytes.push(0));
    damaged(|bytes| bytes[..8].fill(0xff));
    damaged(|bytes| bytes[8] = b'!');
    // Another shape of the same size, so that only the comparison with the manifest can notice.
    damaged(|bytes| {
        let at = bytes.windows(9).position(|w| w == b"[9,2,8,8]").unwrap();
        bytes[at..at + 9].copy_from_slice(b"[9,8,2,8]");
    });
}

#[test]
fn every_cut_of_a_shard_is_an_error_and_no_flipped_header_byte_panics() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_in(&folder);
    let shard = path.join("shard-00000.safetensors");
    let bytes = fs::read(&shard).unwrap();
    let header = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    for cut in (0..header).chain([header, bytes.len() / 2, bytes.len() - 1]) {
        fs::write(&shard, &bytes[..cut]).unwrap();
        assert!(SliceStore::open(&path).is_err(), "cut at {cut}");
    }
    for at in 0..header {
        for value in [0x00, 0xff, bytes[at] ^ 0x80] {
            let mut changed = bytes.clone();
            changed[at] = value;
            fs::write(&shard, &changed).unwrap();
            if let Ok(store) = SliceStore::open(&path) {
                assert!(value == bytes[at] || store.verify().is_err(), "byte {at} = {value}");
            }
        }
    }
}

#[test]
fn changed_pixels_and_labels_are_found() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_in(&folder);
    let shard = path.join("shard-00000.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    let first_label = bytes.windows(SIDE * SIDE).position(|w| w == label(0)).unwrap();
    bytes[first_label + 3] = 200;
    fs::write(&shard, &bytes).unwrap();
    let store = SliceStore::open(&path).unwrap();
    assert!(matches!(store.verify(), Err(StoreError::DamagedShard { .. })));
    let (mut images, mut labels) = (vec![0; image(0).len()], vec![0; SIDE * SIDE]);
    store.gather(&[7], &mut images, &mut labels).unwrap();
    let error = store.gather(&[0], &mut images, &mut labels).unwrap_err();
    assert!(matches!(error, StoreError::Label { slice: 0, found: 200, .. }), "{error}");

    let other = folder.path().join("y.store");
    let mut writer = StoreWriter::create(&other, layout()).unwrap();
    let error = writer.push(&image(0), &[4; SIDE * SIDE], None, 0).unwrap_err();
    assert!(error.to_string().contains("below 4, found 4"), "{error}");
}

/// Consumers stack a subject's slices by number, so a crafted number would be a crafted allocation.
#[test]
fn rejects_slice_numbers_that_cannot_be() {
    let opened_with = |index: usize, number: i32| {
        let folder = tempfile::tempdir().unwrap();
        let path = store_in(&folder);
        let shard = path.join("shard-00000.safetensors");
        let mut bytes = fs::read(&shard).unwrap();
        let first: Vec<u8> = (100..109i32).flat_map(i32::to_le_bytes).collect();
        let at = bytes.windows(36).position(|window| window == first).unwrap() + 4 * index;
        bytes[at..at + 4].copy_from_slice(&number.to_le_bytes());
        fs::write(&shard, bytes).unwrap();
        SliceStore::open(&path).map(drop)
    };
    opened_with(0, 0).unwrap();
    opened_with(0, limits::SLICE_NUMBER).unwrap();
    // Number 100 of another subject is another slice.
    opened_with(4, 100).unwrap();
    for (index, number, expected) in [
        (0, limits::SLICE_NUMBER + 1, "numbered 0 to 4095, found 4096 of subject 0"),
        (8, i32::MAX, "found 2147483647 of subject 2"),
        (3, -1, "found -1 of subject 0"),
        (3, 101, "found slice 101 of subject 0 twice"),
    ] {
        let message = opened_with(index, number).unwrap_err().to_string();
        assert!(message.contains(expected), "{message}");
    }

    let folder = tempfile::tempdir().unwrap();
    let written = |origin: Origin, subject: Option<u32>, numbers: [i32; 2]| {
        let mut writer = StoreWriter::create(&folder.path().join("y.store"), layout()).unwrap();
        numbers.into_iter().for_each(|n| writer.push(&image(0), &label(0), subject, n).unwrap());
        writer.finish(origin).unwrap_err().to_string()
    };
    let message = written(sampled_origin(), None, [0, -7]);
    assert!(message.contains("images numbered from 0, found -7"), "{message}");
    let message = written(cohort_origin([2, 0, 0]), Some(0), [5, 5]);
    assert!(message.contains("found slice 5 of subject 0 twice"), "{message}");
}

#[test]
fn labels_that_are_no_class_are_found_even_under_a_right_digest() {
    let folder = tempfile::tempdir().unwrap();
    let path = store_in(&folder);
    let (shard, file) = (path.join("shard-00000.safetensors"), path.join("manifest.json"));
    let mut bytes = fs::read(&shard).unwrap();
    let at = bytes.windows(SIDE * SIDE).position(|w| w == label(1)).unwrap();
    bytes[at] = 4;
    fs::write(&shard, &bytes).unwrap();
    let mut manifest: serde_json::Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    manifest["shards"][0]["digest"] = Digest::of(&bytes).as_str().into();
    fs::write(&file, manifest.to_string()).unwrap();
    let error = SliceStore::open(&path).unwrap().verify().unwrap_err();
    assert!(matches!(error, StoreError::Label { slice, found: 4, .. } if slice % 4 == 1), "{error}");
}

use std::fs;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView};
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{Origin, StoreManifest};
use synthmr_core::{LabelScheme, Split};
use synthmr_data::store::{SliceStore, StoreLayout, StoreWriter};
use synthmr_nets::tch::Device;
use synthmr_realism::{FeatureSource, RealismError};

use crate::common::{Degradation, phantom_store, write_degraded};
use crate::measured;

/// A synthetic set of `images` black images; the origin is that of the store `like`.
fn black(like: &SliceStore, out: &Path, channels: &[&str], side: usize, images: usize) {
    let layout = StoreLayout {
        channels: channels.iter().map(|&name| name.to_owned()).collect(),
        height: side,
        width: side,
        labels: LabelScheme::brats(),
    };
    let origin = like.manifest().origin.clone();
    assert!(matches!(origin, Origin::Sampled(_)));
    let mut writer = StoreWriter::create(out, layout).unwrap();
    for number in 0..images {
        let image = vec![0; channels.len() * side * side];
        writer.push(&image, &vec![0; side * side], None, number as i32).unwrap();
    }
    writer.finish(origin).unwrap();
}

#[test]
fn sets_that_cannot_be_compared_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = phantom_store(folder, 4, 32).unwrap();
    let all = store.indices(Split::Test);
    write_degraded(&store, &all, Degradation::Blur, 0, &folder.join("syn.store")).unwrap();
    let like = SliceStore::open(&folder.join("syn.store")).unwrap();
    let channels = ["T1", "T1ce", "T2", "FLAIR"];
    black(&like, &folder.join("turned.store"), &["FLAIR", "T2", "T1ce", "T1"], 32, 30);
    black(&like, &folder.join("three.store"), &channels[..3], 32, 30);
    black(&like, &folder.join("other.store"), &["T1", "T1c", "T2", "FLAIR"], 32, 30);
    black(&like, &folder.join("small.store"), &channels, 16, 30);
    black(&like, &folder.join("few.store"), &channels, 32, 5);
    for (real, synthetic, expected) in [
        ("ph.store", "three.store", "expected T1, T1ce, T2, FLAIR as in"),
        ("ph.store", "other.store", "found T1, T1c, T2, FLAIR"),
        ("ph.store", "small.store", "expected 32x32 pixels"),
        ("ph.store", "few.store", "expected at least 20 images, found 5"),
        ("syn.store", "syn.store", "expected a cohort's store"),
        ("ph.store:val", "syn.store", "expected slices in the part `val`, found none"),
        ("nothing", "syn.store", "not a slice store"),
        ("ph.store", "ph.store:test", "of its images are on the real side too"),
    ] {
        let error = measured(folder, real, synthetic, 2).unwrap_err().to_string();
        assert!(error.contains(expected) && error.contains("hint:"), "{real} {synthetic}: {error}");
    }
    // Contrasts are found by their names, and a set of black images has numbers, or none where there are none to have.
    let record = measured(folder, "ph.store:train", "turned.store", 2).unwrap();
    let of =
        |metric: &str| record.results.iter().filter(|r| r.metric == metric).filter_map(|r| r.value).count();
    assert_eq!((of("frechet"), of("intensity_histogram"), of("annotation_area")), (5, 0, 0));
    // A bit of a pixel: no header tells.
    let shard = folder.join("turned.store/shard-00000.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let error = measured(folder, "ph.store:train", "turned.store", 2).unwrap_err();
    assert!(error.to_string().contains("is damaged"), "{error}");
}

/// A cohort of two subjects with 30 and 3 slices of noise.
fn uneven(like: &SliceStore, out: &Path) {
    let mut origin = like.manifest().origin.clone();
    let Origin::Cohort { subjects, .. } = &mut origin else { panic!("a cohort") };
    subjects.truncate(2);
    let slices = [30, 3];
    subjects.iter_mut().zip(slices).for_each(|(subject, slices)| subject.slices = slices);
    let StoreManifest { channels, height, width, labels, .. } = like.manifest().clone();
    let pixels = height * width;
    let layout = StoreLayout { channels, height, width, labels };
    let mut writer = StoreWriter::create(out, layout).unwrap();
    let mut random = rng(1, Stream::Test, 9);
    for (subject, slices) in slices.into_iter().enumerate() {
        for number in 0..slices {
            let image: Vec<u8> = (0..4 * pixels).map(|_| random.below(256) as u8).collect();
            writer.push(&image, &vec![1; pixels], Some(subject as u32), number as i32).unwrap();
        }
    }
    writer.finish(origin).unwrap();
}

#[test]
fn halves_with_too_few_images_cost_intervals_and_not_the_numbers() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let store = phantom_store(folder, 4, 32).unwrap();
    uneven(&store, &folder.join("uneven.store"));
    let all: Vec<u32> = (0..40).collect();
    write_degraded(&store, &all, Degradation::Blur, 0, &folder.join("syn.store")).unwrap();
    let record = measured(folder, "uneven.store", "syn.store", 10).unwrap();
    let frechet: Vec<_> = record.results.iter().filter(|result| result.metric == "frechet").collect();
    assert!(frechet.iter().all(|result| result.value.is_some() && result.low.is_none()));
    assert!(
        record.warnings.iter().any(|warning| warning.contains("fewer than 6 images")),
        "{:?}",
        record.warnings
    );
}

fn write_weights(path: &Path, metadata: &[(&str, &str)], value: f32) {
    let bytes: Vec<u8> = [value; 4].iter().flat_map(|value| value.to_le_bytes()).collect();
    let view = TensorView::new(Dtype::F32, vec![4], &bytes).unwrap();
    let metadata = metadata.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect();
    fs::write(path, safetensors::serialize([("_bn0.weight", view)], Some(metadata)).unwrap()).unwrap();
}

#[test]
fn weights_of_another_file_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("w.safetensors");
    let refused = |expected: &str| {
        for error in [
            FeatureSource::inception_v3(&path, Device::Cpu).err().unwrap(),
            FeatureSource::efficientnet_lite0(&path, Device::Cpu).err().unwrap(),
        ] {
            assert!(error.to_string().contains(expected), "{error}");
        }
    };
    refused("cannot read");
    fs::write(&path, "no weights at all").unwrap();
    refused("expected a safetensors file");
    write_weights(&path, &[], 1.0);
    refused("found none\nhint:");
    write_weights(&path, &[("sha256", "00112233")], 1.0);
    refused("found 00112233");

    // Right words about other values.
    let of = |error: Option<RealismError>| error.unwrap().to_string();
    write_weights(&path, &[("sha256", "57934424")], 1.0);
    let message = of(FeatureSource::efficientnet_lite0(&path, Device::Cpu).err());
    assert!(
        message.contains("weights with the digest 202261a7") && message.contains("xtask weights"),
        "{message}"
    );
    // hashlib.sha256(b"_bn0.weight\n4\n" + struct.pack("<4f", 1, 1, 1, 1)).hexdigest()
    let content = "5637a2e2e9818a68d65482d921021ff54a19be191a9d17ea84d3c72232e242f9";
    for (content, value) in [(None, 1.0), (Some(content), -1.0)] {
        let mut metadata = vec![("sha256", "6726825d")];
        metadata.extend(content.map(|content| ("content", content)));
        write_weights(&path, &metadata, value);
        let message = of(FeatureSource::inception_v3(&path, Device::Cpu).err());
        assert!(message.contains("weights with the digest"), "{message}");
    }
    write_weights(&path, &[("sha256", "6726825d"), ("content", content)], 1.0);
    let error = FeatureSource::inception_v3(&path, Device::Cpu).err().unwrap();
    assert!(matches!(&error, RealismError::Parameters { .. }), "{error}");
}

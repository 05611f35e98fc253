use std::ops::ControlFlow;
use std::sync::{Mutex, Once, PoisonError};

use synthmr_audit::embedding::{Embedding, EmbeddingConfig, EmbeddingError, TrainingSlices};
use synthmr_core::Split;
use synthmr_data::store::SliceStore;
use tch::{Device, Tensor};

use crate::heads::{CHANNELS, SIDE, moved_slice, slice, store};

/// Small enough for a test.
fn tiny(images: u64) -> EmbeddingConfig {
    EmbeddingConfig { images, batch: 32, width: 16, dimensions: 32, ..EmbeddingConfig::default() }
}

fn train(config: &EmbeddingConfig, slices: &TrainingSlices) -> Result<Embedding, EmbeddingError> {
    // A training seeds the device's one random generator: two in one process would draw each other's numbers.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
    // Test processes run side by side; OpenMP's threads would spin for each other's cores.
    static THREADS: Once = Once::new();
    THREADS.call_once(|| synthmr_nets::engine::set_threads(1));
    Embedding::train(config, slices, Device::Cpu, &mut |_, _| ControlFlow::Continue(()))
}

/// Ten subjects to learn from, one held out.
fn cohort(folder: &tempfile::TempDir, name: &str, poison: impl Fn(Split, &mut [u8])) -> SliceStore {
    let mut parts = vec![Split::Train; 10];
    parts.extend([Split::Val, Split::Control, Split::Test]);
    store(&folder.path().join(name), &parts, 3, poison)
}

/// Vectors of images of one form.
fn vectors(embedding: &Embedding, images: &[Vec<u8>]) -> Tensor {
    embedding.embed(&images.concat(), [images.len(), CHANNELS, SIDE, SIDE]).unwrap()
}

fn bytes(embedding: &Embedding) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    embedding.save(&folder.path().join("e")).unwrap();
    std::fs::read(folder.path().join("e")).unwrap()
}

/// Copies that no correlation finds are nearer to their originals than other subjects are to anything.
#[test]
fn copies_are_nearer_than_other_subjects() {
    let folder = tempfile::tempdir().unwrap();
    let slices = TrainingSlices::from_store(&cohort(&folder, "s", |_, _| ())).unwrap();
    let embedding = train(&tiny(1600), &slices).unwrap();
    let originals: Vec<Vec<u8>> = (0..10).flat_map(|s| (0..3).map(move |n| slice(s, n))).collect();
    let reference = vectors(&embedding, &originals);
    let nearest = |images: &[Vec<u8>]| -> Vec<f32> {
        let shape = [images.len(), CHANNELS, SIDE, SIDE];
        let queries = embedding.embed_queries(&images.concat(), shape).unwrap();
        queries.matmul(&reference.tr()).amax([0i64, 2].as_slice(), false).try_into().unwrap()
    };
    let fresh: Vec<Vec<u8>> = (100..160).map(|s| slice(s, 1)).collect();
    let mut null = nearest(&fresh);
    null.sort_by(f32::total_cmp);
    let threshold = null[56];
    let inverted = |s| slice(s, 1).iter().map(|&value| 255 - value).collect();
    for (name, least, copies) in [
        ("turned", 9, (0..10).map(|s| moved_slice(s, 1, 0.5, 1.0)).collect::<Vec<Vec<u8>>>()),
        ("turned over", 9, (0..10).map(|s| moved_slice(s, 1, 2.6, 1.0)).collect()),
        ("smaller", 9, (0..10).map(|s| moved_slice(s, 1, 0.0, 0.8)).collect()),
        ("inverted", 10, (0..10).map(inverted).collect()),
    ] {
        let found = nearest(&copies).iter().filter(|&&similarity| similarity > threshold).count();
        assert!(found >= least, "{name}: {found} of 10 above {threshold}; {:?}", nearest(&copies));
    }
}

#[test]
fn equal_seeds_and_slices_give_equal_bytes_and_others_do_not() {
    let folder = tempfile::tempdir().unwrap();
    let slices = TrainingSlices::from_store(&cohort(&folder, "s", |_, _| ())).unwrap();
    let first = bytes(&train(&tiny(96), &slices).unwrap());
    assert!(first == bytes(&train(&tiny(96), &slices).unwrap()));
    let other = train(&EmbeddingConfig { seed: 1, ..tiny(96) }, &slices).unwrap();
    assert!(first != bytes(&other));
}

/// Whatever the other parts hold, nothing of it reaches the embedding.
#[test]
fn only_the_training_part_is_learnt_from() {
    let folder = tempfile::tempdir().unwrap();
    let poisoned = |parts: &[Split], name: &str| {
        let store = cohort(&folder, name, |part, image| {
            if parts.contains(&part) {
                image.iter_mut().enumerate().for_each(|(i, value)| *value = (i * 7) as u8);
            }
        });
        bytes(&train(&tiny(64), &TrainingSlices::from_store(&store).unwrap()).unwrap())
    };
    let clean = poisoned(&[], "clean");
    assert!(clean == poisoned(&[Split::Val, Split::Control, Split::Test], "held-out"));
    assert!(clean != poisoned(&[Split::Train], "train"));
}

#[test]
fn a_saved_embedding_is_the_same_and_a_damaged_one_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let slices = TrainingSlices::from_store(&cohort(&folder, "s", |_, _| ())).unwrap();
    let embedding = train(&tiny(64), &slices).unwrap();
    let path = folder.path().join("copy.safetensors");
    embedding.save(&path).unwrap();
    let loaded = Embedding::load(&path, Device::Cpu).unwrap();
    assert_eq!((loaded.config(), loaded.data()), (embedding.config(), embedding.data()));
    let images = [slice(3, 0), slice(200, 2)];
    let difference = (vectors(&loaded, &images) - vectors(&embedding, &images)).abs().max().double_value(&[]);
    assert_eq!(difference, 0.0);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }
    let whole = std::fs::read(&path).unwrap();
    let refused = |bytes: &[u8], expected: &str| {
        std::fs::write(&path, bytes).unwrap();
        let message = Embedding::load(&path, Device::Cpu).err().unwrap().to_string();
        assert!(message.contains(expected) && message.contains("copy.safetensors"), "{message}");
    };
    for cut in [0, 7, 8, 100, whole.len() / 2, whole.len() - 1] {
        refused(&whole[..cut], "not a copy embedding");
    }
    for place in [whole.len() - 3, whole.len() / 2] {
        let mut changed = whole.clone();
        changed[place] ^= 1;
        refused(&changed, "content with digest");
    }
    let text = String::from_utf8_lossy(&whole[8..400]).into_owned();
    assert!(text.contains("synthmr-copy-embedding"), "{text}");
}

#[test]
fn rejects_images_and_settings_that_cannot_be_used() {
    let one = slice(0, 0);
    let slices = |count: usize, shape: [usize; 4], subjects: &[u32]| {
        let images = vec![1; shape.iter().product::<usize>() * count / count.max(1)];
        let numbers: Vec<i32> = (0..subjects.len() as i32).collect();
        TrainingSlices::from_images(&images, shape, subjects, &numbers)
    };
    for shape in [[2, 1, 64, 32], [2, 1, 31, 31], [2, 1, 513, 513]] {
        let message = slices(2, shape, &[0, 1]).err().unwrap().to_string();
        assert!(message.contains("squares of 32 to 512"), "{message}");
    }
    for side in [32, 100, 512] {
        let slices = slices(2, [2, 3, side, side], &[0, 1]).unwrap();
        let embedding = train(&tiny(4), &slices).unwrap();
        let found = embedding.embed(&vec![9; 3 * 40 * 40], [1, 3, 40, 40]).unwrap();
        assert_eq!(found.size(), [1, 32]);
        assert!((found.norm().double_value(&[]) - 1.0).abs() < 1e-4);
        assert_eq!(embedding.embed(&[], [0, 3, 64, 64]).unwrap().size(), [0, 32]);
        let message = embedding.embed(&one, [1, 2, 64, 64]).err().unwrap().to_string();
        assert!(message.contains("expected the 3 that it was trained on, found 2"), "{message}");
    }
    let alone = slices(2, [2, 1, 64, 64], &[5, 5]).unwrap();
    assert!(matches!(train(&tiny(4), &alone), Err(EmbeddingError::Subjects { found: 1 })));
    let two = slices(2, [2, 1, 64, 64], &[0, 1]).unwrap();
    for config in [
        EmbeddingConfig { width: 12, ..tiny(4) },
        EmbeddingConfig { batch: 5, ..tiny(4) },
        EmbeddingConfig { rate: f64::NAN, ..tiny(4) },
        EmbeddingConfig { temperature: 0.0, ..tiny(4) },
        EmbeddingConfig { stages: 9, ..tiny(4) },
        EmbeddingConfig { images: 0, ..tiny(4) },
    ] {
        assert!(matches!(train(&config, &two), Err(EmbeddingError::Setting { .. })), "{config:?}");
    }
    let stopped = Embedding::train(&tiny(64), &two, Device::Cpu, &mut |done, _| {
        if done > 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert!(matches!(stopped, Err(EmbeddingError::Interrupted)));
}

//! The segmenter's training from outside: exact resume, what it reads, what it refuses, what it predicts.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use safetensors::SafeTensors;
use synthmr_core::Split;
use synthmr_core::records::{EngineRecord, GeneratorRecord, InputRecord, SamplingRecord};
use synthmr_data::store::SliceStore;
use synthmr_nets::engine::Precision;
use synthmr_train::segmentation::{
    Family, Predictor, Segmenter, SegmenterConfig, SegmenterJob, Source, Weights, predict_store, train,
};
use synthmr_train::{Outcome, TrainError};
use tch::Device;

use crate::toy::{Folder, SIDE, ToyWatch, cohort, remains, synthetic, synthetic_by};

const ALL: [Split; 4] = [Split::Train, Split::Val, Split::Control, Split::Test];

/// 24 steps of 4 images, through every stage of the background warm-up.
fn config() -> SegmenterConfig {
    toml::from_str(
        r#"
        resolution = 16
        seed = 3
        kimg = 0.096
        batch = 4
        accumulation = 1
        tick_images = 12
        checkpoint_images = 20
        validation_images = 16
        validation_slices = 10
        standardise = true
        architecture = "unet"
        network = { base_filters = 4, depth = 3, padding = "same" }
        optimiser = { kind = "sgd", rate = 0.05, warmup_images = 0.0, poly_power = 0.9, momentum = 0.9, weight_decay = 3e-5, gradient_norm = 12.0 }
        loss = { dice_smooth = 1e-5, dice_background = true, dice_squared = false, dice_batch = true, warmup_epoch_kimg = 0.016 }
        [augmentation]
        on = true
        mirror_probability = 0.5
        rotation = { probability = 0.2, low = -10.0, high = 10.0 }
        scaling = { probability = 0.2, low = 0.9, high = 1.1 }
        noise = { probability = 0.2, low = 0.0, high = 0.1 }
        blur = { probability = 0.1, low = 0.5, high = 0.6 }
        low_resolution = { probability = 0.1, low = 0.8, high = 1.0 }
        brightness = { probability = 0.1, low = 0.9, high = 1.1 }
        contrast = { probability = 0.1, low = 0.9, high = 1.1 }
        gamma = { probability = 0.1, low = 0.9, high = 1.1 }
        inverted_gamma = { probability = 0.1, low = 0.9, high = 1.1 }
        "#,
    )
    .unwrap()
}

fn engine() -> EngineRecord {
    EngineRecord { libtorch: "test".into(), device: "cpu".into(), precision: "f32".into(), threads: 1 }
}

fn run(
    config: &SegmenterConfig,
    sources: &[Source],
    folder: &Path,
    watch: &mut ToyWatch,
) -> Result<Outcome, TrainError> {
    let job =
        SegmenterJob { config, sources, device: Device::Cpu, precision: Precision::F32, engine: engine() };
    train(&job, folder, watch)
}

fn source(path: &Path) -> Source {
    path.to_str().unwrap().parse().unwrap()
}

/// A real and a synthetic store.
fn stores(folder: &Folder) -> [Source; 2] {
    let (real, drawn) = (folder.path("real.store"), folder.path("syn.store"));
    cohort(&real, 1, 9, &ALL, ["T1", "T2"]);
    synthetic(&drawn, 2, 40);
    [source(&real), source(&drawn)]
}

#[test]
fn stopped_and_killed_runs_end_with_the_same_bits() {
    let folder = Folder::new();
    let sources = stores(&folder);
    let whole = folder.path("whole");
    assert_eq!(run(&config(), &sources, &whole, &mut ToyWatch::default()).unwrap(), Outcome::Finished);
    let expected = remains(&whole);
    assert!(expected.1.len() >= 8);

    // Asked to stop after every so many steps, which saves.
    for steps in [1, 7, 23] {
        let stopped = folder.path(&format!("stopped-{steps}"));
        let mut runs = 0;
        loop {
            let mut watch = ToyWatch { stop_after: Some(steps), ..ToyWatch::default() };
            runs += 1;
            if run(&config(), &sources, &stopped, &mut watch).unwrap() == Outcome::Finished {
                break;
            }
        }
        // The last stop falls into the validation of the finished network, which a run of its own then makes.
        assert_eq!(runs, 24u64.div_ceil(steps) + u64::from(24 % steps == 0));
        assert_eq!(remains(&stopped), expected, "stopped every {steps} steps");
    }

    // Killed between checkpoints, which come every 5 steps: what followed the last one is repeated.
    let killed = folder.path("killed");
    for steps in [3, 8, 6, 9, 7] {
        let mut watch = ToyWatch { die_after: Some(steps), ..ToyWatch::default() };
        let died = catch_unwind(AssertUnwindSafe(|| run(&config(), &sources, &killed, &mut watch)));
        assert!(died.is_err(), "the run ended before step {steps}");
    }
    assert_eq!(run(&config(), &sources, &killed, &mut ToyWatch::default()).unwrap(), Outcome::Finished);
    assert_eq!(remains(&killed), expected);

    // A complete run is left alone; one with other settings is refused.
    let mut watch = ToyWatch::default();
    assert_eq!(run(&config(), &sources, &whole, &mut watch).unwrap(), Outcome::Finished);
    assert!(watch.notes[0].contains("complete"), "{:?}", watch.notes);
    let mut changed = config();
    changed.optimiser.rate = 0.01;
    let message = run(&changed, &sources, &whole, &mut ToyWatch::default()).unwrap_err().to_string();
    assert!(message.contains("rate"), "{message}");
}

/// Writes 255, which is no class, over the labels of the slices of some parts: reading one is an error.
fn poison(store: &Path, parts: &[Split]) {
    relabel(store, parts, 255);
}

/// Writes one value over the labels of the slices of some parts.
fn relabel(store: &Path, parts: &[Split], value: u8) {
    let open = SliceStore::open(store).unwrap();
    let shard = store.join("shard-00000.safetensors");
    let mut bytes = fs::read(&shard).unwrap();
    let labels = SafeTensors::deserialize(&bytes).unwrap().tensor("labels").unwrap().data().as_ptr();
    let start = labels as usize - bytes.as_ptr() as usize;
    for &part in parts {
        for index in open.indices(part) {
            let slice = start + index as usize * SIDE * SIDE;
            bytes[slice..slice + SIDE * SIDE].fill(value);
        }
    }
    drop(open);
    fs::write(&shard, bytes).unwrap();
}

#[test]
fn only_the_training_and_validation_parts_of_the_sources_are_read() {
    let folder = Folder::new();
    let sources = stores(&folder);
    let real = sources[0].selection.path.clone();
    poison(&real, &[Split::Test, Split::Control]);
    // Beside a cohort's validation part that of a synthetic set is not looked at.
    poison(&sources[1].selection.path, &[Split::Val]);
    run(&config(), &sources, &folder.path("both"), &mut ToyWatch::default()).unwrap();
    relabel(&sources[1].selection.path, &[Split::Val], 1);

    // With everything poisoned, a training on synthetic images alone does not notice.
    poison(&real, &[Split::Train, Split::Val]);
    let seg = folder.path("synthetic-only");
    run(&config(), &sources[1..], &seg, &mut ToyWatch::default()).unwrap();
    let record = fs::read_to_string(seg.join("run.json")).unwrap();
    assert!(record.contains("syn.store") && !record.contains("real.store"), "{record}");
    let message =
        run(&config(), &sources, &folder.path("fails"), &mut ToyWatch::default()).unwrap_err().to_string();
    assert!(message.contains("real.store") && message.contains("label"), "{message}");

    // Validation alone reads the validation part.
    let other = folder.path("other.store");
    cohort(&other, 5, 9, &ALL, ["T1", "T2"]);
    poison(&other, &[Split::Val]);
    let mut watch = ToyWatch::default();
    let message = run(&config(), &[source(&other)], &folder.path("val"), &mut watch).unwrap_err().to_string();
    assert!(message.contains("other.store"), "{message}");
}

/// Dice of every image and all pixels counted: then the parts of a batch say on average what the whole says.
#[test]
fn a_batch_in_parts_makes_the_same_step() {
    let folder = Folder::new();
    let sources = stores(&folder);
    let weights = |accumulation: i64| {
        let mut config = SegmenterConfig { accumulation, ..config() };
        (config.loss.dice_batch, config.loss.warmup_epoch_kimg, config.kimg) = (false, 0.0, 0.024);
        let seg = folder.path(&format!("parts-{accumulation}"));
        run(&config, &sources, &seg, &mut ToyWatch::default()).unwrap();
        let file = fs::read(seg.join("checkpoints").join("000000024.safetensors")).unwrap();
        let tensors = SafeTensors::deserialize(&file).unwrap();
        let mut names: Vec<&str> =
            tensors.names().into_iter().filter(|n| n.starts_with("network.")).collect();
        names.sort_unstable();
        let bytes = names.iter().flat_map(|name| tensors.tensor(name).unwrap().data());
        let bytes: Vec<u8> = bytes.copied().collect();
        bytes.chunks_exact(4).map(|b| f32::from_le_bytes(b.try_into().unwrap())).collect::<Vec<f32>>()
    };
    let whole = weights(1);
    for accumulation in [2, 4] {
        let parts = weights(accumulation);
        let furthest = whole.iter().zip(&parts).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        assert!(whole.len() == parts.len() && furthest < 1e-4, "{accumulation}: {furthest}");
    }
    let thirds = SegmenterConfig { accumulation: 3, ..config() };
    let message =
        run(&thirds, &sources, &folder.path("x"), &mut ToyWatch::default()).unwrap_err().to_string();
    assert!(message.contains("a number that divides the batch of 4 into parts of at least 1"), "{message}");
}

#[test]
fn sources_that_do_not_fit_are_refused_by_name() {
    let folder = Folder::new();
    let [real, synthetic] = stores(&folder);
    let swapped = folder.path("swapped.store");
    cohort(&swapped, 1, 9, &ALL, ["T2", "T1"]);
    let refused = |config: &SegmenterConfig, sources: &[Source]| {
        let seg = folder.path("refused");
        let message = run(config, sources, &seg, &mut ToyWatch::default()).unwrap_err().to_string();
        assert!(!seg.exists(), "a refused training leaves no folder");
        message
    };
    let message = refused(&config(), &[real.clone(), source(&swapped)]);
    assert!(
        message.contains("channels of swapped.store: expected T1, T2 as in real.store, found T2, T1"),
        "{message}"
    );
    let message = refused(&SegmenterConfig { resolution: 32, ..config() }, std::slice::from_ref(&real));
    assert!(message.contains("resolution of real.store: expected 32x32, found 16x16"), "{message}");
    for part in ["val", "test", "control"] {
        let text = format!("{}:{part}", real.selection.path.display());
        let message = refused(&config(), &[text.parse().unwrap()]);
        assert!(message.contains("expected the part train") && message.contains(part), "{message}");
    }
    let light = Source { weight: 0.01, ..synthetic };
    assert!(refused(&config(), &[real, light]).contains("share of syn.store"));
    assert!(refused(&config(), &[]).contains("--train"));
}

#[test]
fn a_test_on_subjects_that_were_learnt_from_is_refused() {
    let folder = Folder::new();
    let [real, _] = stores(&folder);
    let store = SliceStore::open(&real.selection.path).unwrap();
    let checked = |seg: &Path, part: Split| {
        let segmenter = Segmenter::load(seg, Weights::Best, Device::Cpu).unwrap();
        segmenter.check_unseen("seg", &store, &store.indices(part), part)
    };
    let seg = folder.path("seg");
    run(&config(), &[real], &seg, &mut ToyWatch::default()).unwrap();
    let message = checked(&seg, Split::Train).unwrap_err().to_string();
    assert!(message.contains("real.store:train") && message.contains("on which it was trained"), "{message}");
    assert!(checked(&seg, Split::Val).unwrap().unwrap().contains("chosen"));
    assert_eq!(checked(&seg, Split::Test).unwrap(), None);
    fs::remove_file(seg.join("subjects.json")).unwrap();
    assert!(checked(&seg, Split::Test).unwrap().unwrap().contains("earlier version"));

    // Through a generator.
    let input = InputRecord {
        name: "real.store".into(),
        digest: store.digest().clone(),
        split: "train".into(),
        weight: None,
        images: 9,
    };
    let mut record = SamplingRecord::without_generators();
    record.generators.push(GeneratorRecord {
        name: "gan".into(),
        digest: store.digest().clone(),
        images: 40,
        sampler: None,
        snapshot: None,
        trained_on: vec![input],
        adopted: None,
        training_labels: None,
    });
    let drawn = folder.path("drawn.store");
    synthetic_by(&drawn, 2, 40, record);
    let seg = folder.path("by-synthetic");
    run(&config(), &[source(&drawn)], &seg, &mut ToyWatch::default()).unwrap();
    let message = checked(&seg, Split::Train).unwrap_err().to_string();
    assert!(message.contains("a generator of its images learnt"), "{message}");
    assert_eq!(checked(&seg, Split::Test).unwrap(), None);
}

#[test]
fn classes_that_are_nowhere_are_named_and_a_cohort_without_any_is_refused() {
    let folder = Folder::new();
    let store = folder.path("real.store");
    cohort(&store, 1, 9, &ALL, ["T1", "T2"]);
    relabel(&store, &[Split::Train], 2);
    let mut watch = ToyWatch::default();
    run(&config(), &[source(&store)], &folder.path("seg"), &mut watch).unwrap();
    let absent = ["NCR", "ET"].map(|class| format!("class {class} is in no training slice"));
    for note in absent {
        assert!(watch.notes.iter().any(|found| found.contains(&note)), "{:?}", watch.notes);
    }
    assert!(!watch.notes.iter().any(|note| note.contains("class ED")));
    relabel(&store, &[Split::Train], 0);
    let refused = folder.path("refused");
    let message =
        run(&config(), &[source(&store)], &refused, &mut ToyWatch::default()).unwrap_err().to_string();
    assert!(message.contains("found background alone") && !refused.exists(), "{message}");

    let drawn = folder.path("drawn.store");
    synthetic(&drawn, 2, 40);
    relabel(&drawn, &[Split::Train], 0);
    let mut watch = ToyWatch::default();
    run(&config(), &[source(&drawn)], &folder.path("by-synthetic"), &mut watch).unwrap();
    assert_eq!(watch.notes.iter().filter(|note| note.contains("is in no training slice")).count(), 3);
}

#[test]
fn patience_ends_a_training_that_does_not_improve_and_resumes_to_the_same_end() {
    let folder = Folder::new();
    let sources = stores(&folder);
    let mut patient = config();
    patient.validation_patience = 2;
    patient.optimiser.rate = 1e-30;
    let whole = folder.path("whole");
    let mut watch = ToyWatch::default();
    assert_eq!(run(&patient, &sources, &whole, &mut watch).unwrap(), Outcome::Stopped);
    // The best look is the first, after 16 images; those after 32 and 48 are in vain.
    assert_eq!(watch.ticks.last().unwrap().images_seen, 48);
    assert!(watch.notes.last().unwrap().contains("did not improve 2 times"), "{:?}", watch.notes);
    let stopped = folder.path("stopped");
    let again = || {
        let mut watch = ToyWatch { stop_after: Some(5), ..ToyWatch::default() };
        run(&patient, &sources, &stopped, &mut watch).unwrap()
    };
    assert_eq!([again(), again()], [Outcome::Interrupted; 2]);
    assert_eq!(again(), Outcome::Stopped);
    assert_eq!(remains(&stopped), remains(&whole));
    assert_eq!(again(), Outcome::Stopped, "a complete run is left alone");
}

#[test]
fn without_a_validation_part_the_last_weights_are_used() {
    let folder = Folder::new();
    let store = folder.path("real.store");
    cohort(&store, 1, 9, &[Split::Train, Split::Test], ["T1", "T2"]);
    let mut watch = ToyWatch::default();
    run(&config(), &[source(&store)], &folder.path("seg"), &mut watch).unwrap();
    assert!(watch.notes.iter().any(|note| note.contains("real.store has no validation part")));
    assert!(watch.ticks.iter().all(|tick| !tick.values.contains_key("val_dice")));
    Segmenter::load(&folder.path("seg"), Weights::Best, Device::Cpu).unwrap();
}

#[test]
fn diverging_training_stops_and_keeps_the_last_good_checkpoint() {
    let folder = Folder::new();
    let sources = stores(&folder);
    let mut wild = config();
    // Weight decay times rate is far above two: every step makes the weights larger.
    (wild.optimiser.rate, wild.optimiser.weight_decay, wild.optimiser.poly_power) = (10.0, 0.99, 0.0);
    (wild.kimg, wild.checkpoint_images) = (2.0, 4);
    let seg = folder.path("wild");
    let error = run(&wild, &sources, &seg, &mut ToyWatch::default()).unwrap_err();
    assert!(matches!(error, TrainError::NotFinite { images_seen: 1..2000, .. }), "{error}");
    Segmenter::load(&seg, Weights::Best, Device::Cpu).unwrap();
}

#[test]
fn a_trained_network_segments_unseen_subjects_whatever_the_batch() {
    let folder = Folder::new();
    let store = folder.path("real.store");
    cohort(&store, 1, 60, &ALL, ["T1", "T2"]);
    let mut longer = config();
    (longer.kimg, longer.batch) = (1.6, 16);
    let Family::UNet { network } = &mut longer.family else { panic!("a U-Net") };
    network.base_filters = 8;
    (longer.tick_images, longer.checkpoint_images, longer.validation_images) = (400, 800, 400);
    let seg = folder.path("seg");
    let mut watch = ToyWatch::default();
    run(&longer, &[source(&store)], &seg, &mut watch).unwrap();
    let dice = watch.ticks.last().unwrap().values["val_dice"];
    assert!(dice > 0.9, "discs are easy, yet Dice is {dice}");

    let loaded = || Segmenter::load(&seg, Weights::Best, Device::Cpu).unwrap();
    let segmenter = Predictor::new(vec![loaded()], false).unwrap();
    let store = SliceStore::open(&store).unwrap();
    let test = store.indices(Split::Test);
    let mut found = Vec::new();
    let mut each = |subject| -> Result<(), TrainError> {
        found.push(subject);
        Ok(())
    };
    let outcome = predict_store(&segmenter, &store, &test, &mut watch, &mut each).unwrap();
    assert_eq!((outcome, found.len()), (Outcome::Finished, 1));
    let subject = &found[0];
    assert_eq!(subject.slices, (0..60).collect::<Vec<i32>>());
    assert_eq!(subject.subject.as_ref().unwrap().split, Split::Test);
    let pixels = SIDE * SIDE;
    // Slices were written from the head down and are given from the feet up.
    assert_eq!(subject.truth[..pixels], *store.label(*test.last().unwrap() as usize));
    let agree = subject.truth.iter().zip(&subject.prediction).filter(|(t, p)| t == p).count();
    assert!(agree as f64 > 0.97 * subject.truth.len() as f64);

    let images: Vec<u8> = test.iter().rev().flat_map(|&i| store.image(i as usize)).copied().collect();
    for batch in [1, 7, 32] {
        let maps: Vec<u8> =
            images.chunks(batch * 2 * pixels).flat_map(|part| segmenter.predict(part)).collect();
        assert!(maps == subject.prediction, "in batches of {batch}");
    }

    // The same network twice says the same; mirrored images with mirrored looks have mirrored maps.
    let twice = Predictor::new(vec![loaded(), loaded()], false).unwrap();
    assert_eq!(twice.predict(&images), subject.prediction);
    let both_sides = Predictor::new(vec![loaded()], true).unwrap();
    let turned =
        |rows: &[u8]| rows.chunks(SIDE).flat_map(|row| row.iter().rev()).copied().collect::<Vec<u8>>();
    assert_eq!(both_sides.predict(&turned(&images)), turned(&both_sides.predict(&images)));
}

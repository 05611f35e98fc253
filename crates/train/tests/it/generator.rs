//! The generator's training and sampling from outside: exact resume, what it refuses, what it draws.

use std::path::Path;

use synthmr_core::records::{EngineRecord, Origin};
use synthmr_core::{LabelEncoding, LabelScheme, Split};
use synthmr_data::store::SliceStore;
use synthmr_nets::engine::{Precision, device_names};
use synthmr_train::config;
use synthmr_train::generator::{
    DrawOptions, Family, GeneratorConfig, GeneratorJob, PRESETS, is_finite, learner, train,
};
use synthmr_train::planes::Planes;
use synthmr_train::run::TrainedRun;
use synthmr_train::sampling::{BLOCK, SampleOptions, Sampler, Snapshot};
use synthmr_train::{Outcome, TrainError};
use tch::Device;

use crate::toy::{Folder, ToyWatch, cohort, remains};

/// 24 steps of 4 images, where nothing grows.
const COMMON: &[&str] = &[
    "resolution=16",
    "seed=5",
    "kimg=0.096",
    "batch=4",
    "tick_images=12",
    "checkpoint_images=20",
    "mirror=true",
    "inspection.images=8",
];

/// Every penalty, style mixing and the adaptive augmentation take part.
pub(crate) const GAN: &[&str] = &[
    "network.z_dim=8",
    "network.w_dim=8",
    "network.channel_base=64",
    "network.channel_max=8",
    "loss.r1_interval=3",
    "loss.path_length_weight=2.0",
    "loss.path_length_interval=2",
    "loss.style_mixing=0.5",
    "augment.strength=0.3",
    "augment.interval=3",
    "augment.ramp_images=200.0",
];

/// Filters in front of the discriminator take part.
pub(crate) const WITHOUT_ALIASES: &[&str] = &[
    "network.z_dim=8",
    "network.w_dim=8",
    "network.layers=4",
    "network.channel_base=64",
    "network.channel_max=8",
    "network.discriminator_base=64",
    "network.discriminator_max=8",
    "loss.blur_sigma=1.0",
    "loss.blur_images=60",
    "augment.strength=0.3",
];

/// Three levels, of which two fade in, with three batch sizes; every penalty takes part.
pub(crate) const GROWING: &[&str] = &[
    "network.z_dim=8",
    "network.channel_base=64",
    "network.channel_max=8",
    "network.mbstd_group=2",
    "growth.batches=[8, 6]",
    "growth.rate_shares=[0.5, 0.75]",
    "growth.level_images=16",
    "growth.fade_images=12",
];

/// Attention, patches, maps of position, warm-up and decay take part.
pub(crate) const DIFFUSION: &[&str] = &[
    "network.channels=8",
    "network.multipliers=[1, 2]",
    "network.attention=[4]",
    "network.heads=2",
    "network.norm_groups=4",
    "optimiser.warmup_images=20.0",
    "sampler.steps=4",
];

pub(crate) fn resolved(preset: &str, settings: &[&str]) -> GeneratorConfig {
    let settings: Vec<String> = COMMON.iter().chain(settings).map(|&text| text.to_owned()).collect();
    config::resolve(PRESETS, Some(preset), None, &settings).unwrap()
}

/// A tiny configuration of every family, process and sampler.
fn configurations() -> Vec<(&'static str, GeneratorConfig)> {
    let diffusion = |preset, more: &[&str]| resolved(preset, &[DIFFUSION, more].concat());
    vec![
        ("stylegan2", resolved("stylegan2-tiny-64", GAN)),
        ("r3gan", resolved("r3gan-tiny-64", GAN)),
        ("stylegan3-t", resolved("stylegan3-t-tiny-64", WITHOUT_ALIASES)),
        ("stylegan3-r", resolved("stylegan3-r-tiny-64", WITHOUT_ALIASES)),
        ("progan", resolved("progan-tiny-64", GROWING)),
        (
            "stylegan1",
            resolved(
                "stylegan1-tiny-64",
                &[GROWING, &["network.w_dim=8", "loss.style_mixing=0.5", "loss.r1_interval=1"]].concat(),
            ),
        ),
        ("edm", diffusion("edm-tiny-64", &[])),
        (
            "diffusion",
            diffusion(
                "diffusion-tiny-64",
                &["process.steps=50", "process.bound_weight=0.001", "sampler.variance=learned"],
            ),
        ),
        ("flow", diffusion("flow-tiny-64", &["sampler.method=ddim"])),
    ]
}

fn configuration() -> GeneratorConfig {
    configurations().swap_remove(0).1
}

fn run(
    config: &GeneratorConfig,
    store: &Path,
    split: Option<Split>,
    folder: &Path,
    watch: &mut ToyWatch,
) -> Result<Outcome, TrainError> {
    run_on(&[Device::Cpu], config, store, split, folder, watch)
}

pub(crate) fn run_on(
    devices: &[Device],
    config: &GeneratorConfig,
    store: &Path,
    split: Option<Split>,
    folder: &Path,
    watch: &mut ToyWatch,
) -> Result<Outcome, TrainError> {
    let engine = EngineRecord {
        libtorch: "test".into(),
        device: device_names(devices),
        precision: "f32".into(),
        threads: 1,
    };
    let job = GeneratorJob {
        config,
        store: &SliceStore::open(store).unwrap(),
        store_name: "real.store",
        split,
        devices,
        precision: Precision::F32,
        engine,
    };
    train(&job, folder, watch)
}

pub(crate) fn store(folder: &Folder) -> std::path::PathBuf {
    let path = folder.path("real.store");
    cohort(&path, 1, 9, &Split::ALL, ["T1", "T2"]);
    path
}

#[test]
fn stopped_and_killed_runs_end_with_the_same_bits() {
    let folder = Folder::new();
    let store = store(&folder);
    for (name, config) in configurations() {
        ends_with_the_same_bits(&folder, &store, name, &config);
    }
}

fn ends_with_the_same_bits(folder: &Folder, store: &Path, name: &str, config: &GeneratorConfig) {
    let whole = folder.path(&format!("{name}-whole"));
    let outcome = run(config, store, None, &whole, &mut ToyWatch::default()).unwrap();
    assert_eq!(outcome, Outcome::Finished);
    let expected = remains(&whole);

    for steps in [1, 5, 7, 23] {
        let stopped = folder.path(&format!("{name}-stopped-{steps}"));
        let mut runs = 0;
        loop {
            let mut watch = ToyWatch { stop_after: Some(steps), ..ToyWatch::default() };
            runs += 1;
            if run(config, store, None, &stopped, &mut watch).unwrap() == Outcome::Finished {
                break;
            }
        }
        let schedule = config.schedule();
        let all = schedule.at(schedule.total_images() - 1).step + 1;
        // A stop in the last step comes before its inspection, which a run of its own makes up for.
        assert_eq!(runs, all / steps + 1, "{name}");
        assert!(remains(&stopped) == expected, "{name} stopped every {steps} steps");
    }

    // Killed between checkpoints, which come about every 5 steps: what followed the last one is repeated.
    let killed = folder.path(&format!("{name}-killed"));
    for steps in [3, 8, 6, 5, 3] {
        let mut watch = ToyWatch { die_after: Some(steps), ..ToyWatch::default() };
        let died = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _ = run(config, store, None, &killed, &mut watch);
        }));
        assert!(died.is_err());
    }
    run(config, store, None, &killed, &mut ToyWatch::default()).unwrap();
    assert!(remains(&killed) == expected, "{name} killed five times");
}

#[test]
fn another_seed_gives_another_generator() {
    let folder = Folder::new();
    let store = store(&folder);
    let short = GeneratorConfig { kimg: 0.012, ..configuration() };
    run(&short, &store, None, &folder.path("a"), &mut ToyWatch::default()).unwrap();
    let other = GeneratorConfig { seed: 6, ..short };
    run(&other, &store, None, &folder.path("b"), &mut ToyWatch::default()).unwrap();
    assert!(remains(&folder.path("a")).0 != remains(&folder.path("b")).0);
}

#[test]
fn held_out_parts_and_other_sizes_are_refused() {
    let folder = Folder::new();
    let store = store(&folder);
    let message = |config: &GeneratorConfig, split| {
        let out = folder.path("refused");
        run(config, &store, split, &out, &mut ToyWatch::default()).unwrap_err().to_string()
    };
    for split in [Split::Control, Split::Test] {
        let message = message(&configuration(), Some(split));
        assert!(message.contains("held out") && message.contains(split.name()), "{message}");
    }
    let larger = message(&GeneratorConfig { resolution: 32, ..configuration() }, None);
    assert!(larger.contains("expected 32x32, found 16x16"), "{larger}");
    let batch = message(&GeneratorConfig { batch: 0, ..configuration() }, None);
    assert!(batch.contains("batch") && batch.contains("found 0"), "{batch}");
    let nan = message(&GeneratorConfig { kimg: f64::NAN, ..configuration() }, None);
    assert!(nan.contains("kimg") && nan.contains("NaN"), "{nan}");
}

/// Inspections are made at checkpoints; a rule that every one breaks ends the training after `patience` of them.
#[test]
fn a_rule_ends_a_training_for_good() {
    let folder = Folder::new();
    let store = store(&folder);
    let out = folder.path("stopped");
    let mut config = configuration();
    config.inspection.max_real_sign = -1.0;
    config.inspection.patience = 2;
    let mut watch = ToyWatch::default();
    assert_eq!(run(&config, &store, None, &out, &mut watch).unwrap(), Outcome::Stopped);
    let words = "after 40 images, the discriminator has won";
    assert!(watch.notes.iter().any(|note| note.contains(words)), "{:?}", watch.notes);
    assert_eq!(inspected(&watch), [20, 40]);
    let values = &watch.ticks.last().unwrap().values;
    // One held-out subject is not enough to say what copying is.
    assert!(values["energy_distance"].is_finite() && !values.contains_key("copying"));
    // Killed between its last checkpoint and the mark, it is still at its end.
    std::fs::remove_file(out.join("finished.json")).unwrap();
    let mut again = ToyWatch::default();
    assert_eq!(run(&config, &store, None, &out, &mut again).unwrap(), Outcome::Stopped);
    assert_eq!((again.steps, again.ticks.len()), (0, 0));
    let sampler = Sampler::load(&[&out], Snapshot::Last, Device::Cpu).unwrap();
    assert!(sampler.notes().any(|note| note.contains(words)));
    // Nothing that broke a rule is the best.
    let message = Sampler::load(&[&out], Snapshot::Best, Device::Cpu).err().unwrap().to_string();
    assert!(message.contains("best snapshot") && message.contains("found none"), "{message}");
}

/// Images at which a training was inspected.
fn inspected(watch: &ToyWatch) -> Vec<u64> {
    let ticks = watch.ticks.iter().filter(|tick| tick.values.contains_key("diversity"));
    ticks.map(|tick| tick.images_seen).collect()
}

#[test]
fn the_best_snapshot_is_the_grown_one_nearest_to_held_out_images() {
    let folder = Folder::new();
    let store = store(&folder);
    for (name, config) in configurations() {
        if !["stylegan2", "progan"].contains(&name) {
            continue;
        }
        let out = folder.path(name);
        let mut watch = ToyWatch::default();
        run(&config, &store, None, &out, &mut watch).unwrap();
        let grown = |seen: &u64| config.schedule().at(seen - 1).lod == 0.0;
        let energy = |seen: u64| {
            let tick = watch.ticks.iter().find(|tick| tick.images_seen == seen).unwrap();
            tick.values["energy_distance"]
        };
        let seen: Vec<u64> = inspected(&watch).into_iter().filter(grown).collect();
        assert!(name == "stylegan2" || seen.len() < inspected(&watch).len());
        let best = seen.iter().copied().min_by(|&a, &b| energy(a).total_cmp(&energy(b))).unwrap();
        let state = TrainedRun::open(&out).unwrap().checkpoint.state;
        assert_eq!(state["inspected"]["best"]["images_seen"], best, "{name}");

        let draw = |snapshot, file: &str| {
            let sampler = Sampler::load(&[&out], snapshot, Device::Cpu).unwrap();
            let options = SampleOptions { first: 0, count: 1, seed: 9, draw: DrawOptions::default() };
            let path = folder.path(&format!("{name}-{file}.store"));
            let (_, record) = sampler.sample(options, &path, &mut ToyWatch::default()).unwrap();
            (SliceStore::open(&path).unwrap().image(0).to_vec(), record.generators[0].snapshot.clone())
        };
        let (last, (image, snapshot)) = (draw(Snapshot::Last, "last"), draw(Snapshot::Best, "best"));
        assert_eq!((last.1, snapshot.as_deref()), (None, Some("best")));
        assert_eq!(image == last.0, Some(&best) == seen.last(), "{name}");
    }
}

#[test]
fn numbers_that_are_none_are_refused() {
    for set in ["ema_rampup", "augment.ramp_images", "loss.blur_images"] {
        let mut config = configuration();
        let Family::StyleGan2(gan) = &mut config.family else { unreachable!("the first family") };
        match set {
            "ema_rampup" => config.ema_rampup = f64::INFINITY,
            "augment.ramp_images" => gan.augment.ramp_images = f64::INFINITY,
            _ => gan.loss.blur_images = f64::NAN,
        }
        let message = config.validate().unwrap_err().to_string();
        assert!(message.contains(set) && message.contains("finite"), "{message}");
    }
}

#[test]
fn a_ruined_state_is_noticed() {
    for (name, config) in configurations() {
        let scheme = LabelScheme::brats();
        let planes = Planes::new(2, &scheme, config.labels, Device::Cpu);
        let learner = learner(&config, &planes, &[Device::Cpu], Precision::F32);
        assert!(is_finite(learner.as_ref()), "{name}");
        let networks = learner.networks();
        let tensors = networks.iter().map(|(_, parameters)| parameters.flat().shallow_clone());
        let tensors = tensors.chain(learner.tensors().into_iter().map(|(_, tensor)| tensor.shallow_clone()));
        for tensor in tensors {
            let mut first = tensor.flatten(0, -1).narrow(0, 0, 1);
            let before = first.copy();
            let _ = tch::no_grad(|| first.fill_(f64::INFINITY));
            assert!(!is_finite(learner.as_ref()), "{name}");
            tch::no_grad(|| first.copy_(&before));
        }
        assert!(is_finite(learner.as_ref()), "{name}");
    }
}

#[test]
fn an_image_does_not_depend_on_what_else_is_drawn() {
    let folder = Folder::new();
    let store = store(&folder);
    for (name, config) in configurations() {
        draws_the_same_image(&folder, &store, name, &config);
    }
}

fn draws_the_same_image(folder: &Folder, store: &Path, family: &str, config: &GeneratorConfig) {
    let gen_folder = folder.path(&format!("{family}-gen"));
    run(config, store, None, &gen_folder, &mut ToyWatch::default()).unwrap();
    let sampler = Sampler::load(&[&gen_folder], Snapshot::Last, Device::Cpu).unwrap();
    let draw = |name: &str, first: u64, count: u64| {
        let out = folder.path(&format!("{family}-{name}"));
        let options = SampleOptions { first, count, seed: 9, draw: DrawOptions::default() };
        let (outcome, record) = sampler.sample(options, &out, &mut ToyWatch::default()).unwrap();
        assert_eq!(outcome, Outcome::Finished);
        let total: f64 = record.label_quality.class_share.values().sum();
        assert!((total - 1.0).abs() < 1e-9);
        SliceStore::open(&out).unwrap()
    };
    let count = 4 * BLOCK;
    let whole = draw("whole.store", 0, count);
    assert!(matches!(whole.manifest().origin, Origin::Sampled(_)));
    assert_ne!(whole.image(0), whole.image(1));
    for part in [1, 7, 32] {
        for first in (0..count).step_by(part) {
            let part_store = draw(&format!("{part}-{first}.store"), first, (part as u64).min(count - first));
            for i in 0..part_store.len() {
                let index = first as usize + i;
                assert_eq!(
                    part_store.image(i),
                    whole.image(index),
                    "{family}: image {index} in parts of {part}"
                );
                assert_eq!(part_store.label(i), whole.label(index));
                assert_eq!(part_store.slice(i), index as i32);
            }
        }
    }
}

#[test]
fn several_generators_take_turns_and_the_record_says_so() {
    let folder = Folder::new();
    let store = store(&folder);
    let short = GeneratorConfig { kimg: 0.012, ..configuration() };
    let folders = ["first", "second", "onehot"].map(|name| folder.path(name));
    let other = GeneratorConfig { labels: LabelEncoding::Onehot, ..short.clone() };
    let configs = [short.clone(), GeneratorConfig { seed: 6, ..short }, other];
    for (config, out) in configs.iter().zip(&folders) {
        run(config, &store, None, out, &mut ToyWatch::default()).unwrap();
    }
    let draw = |name: &str, runs: &[&Path], first, count| {
        let options = SampleOptions { first, count, seed: 9, draw: DrawOptions::default() };
        let sampler = Sampler::load(runs, Snapshot::Last, Device::Cpu).unwrap();
        let (_, record) = sampler.sample(options, &folder.path(name), &mut ToyWatch::default()).unwrap();
        (SliceStore::open(&folder.path(name)).unwrap(), record)
    };
    let [first, second, onehot] = &folders;
    let (both, record) = draw("both.store", &[first, second], 0, 3 * BLOCK);
    let images: Vec<usize> = record.generators.iter().map(|generator| generator.images).collect();
    assert_eq!(images, [2 * BLOCK as usize, BLOCK as usize]);
    for (run, name, block) in [(first, "a.store", 0), (second, "b.store", 1), (first, "c.store", 2)] {
        let (alone, record) = draw(name, &[run], block * BLOCK, BLOCK);
        let first_image = (block * BLOCK) as usize;
        assert!((0..BLOCK as usize).all(|i| alone.image(i) == both.image(first_image + i)), "block {block}");
        let labels = record.generators[0].training_labels.as_ref().unwrap();
        let total: f64 = labels.class_share.values().sum();
        assert!((total - 1.0).abs() < 1e-9 && labels.class_share["NCR"] > 0.0);
        assert_eq!(record.generators[0].trained_on[0].name, "real.store");
    }
    let message = Sampler::load(&[first, onehot], Snapshot::Last, Device::Cpu).err().unwrap().to_string();
    assert!(message.contains("images of onehot") && message.contains("gray annotation"), "{message}");
}

#[test]
fn options_of_other_families_are_refused() {
    let folder = Folder::new();
    let store = store(&folder);
    let wrong = |name: &str| match name {
        "stylegan2" | "r3gan" | "stylegan1" | "stylegan3-t" | "stylegan3-r" => {
            DrawOptions { steps: Some(5), ..DrawOptions::default() }
        }
        _ => DrawOptions { truncation: Some(0.5), ..DrawOptions::default() },
    };
    for (name, config) in configurations() {
        let out = folder.path(name);
        run(&GeneratorConfig { kimg: 0.06, ..config }, &store, None, &out, &mut ToyWatch::default()).unwrap();
        let sampler = Sampler::load(&[&out], Snapshot::Last, Device::Cpu).unwrap();
        let set = folder.path(&format!("{name}.store"));
        let options = SampleOptions { first: 0, count: 1, seed: 0, draw: wrong(name) };
        let message = sampler.sample(options, &set, &mut ToyWatch::default()).unwrap_err().to_string();
        assert!(message.contains("expected none for a") && !set.exists(), "{name}: {message}");
    }
}

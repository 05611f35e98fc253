//! Data-parallel training on CPU replicas: what it learns, and that it resumes exactly.

use std::collections::BTreeMap;
use std::path::Path;

use synthmr_train::generator::GeneratorConfig;
use synthmr_train::run::TrainedRun;
use synthmr_train::{Outcome, TrainError};
use tch::{Device, Kind, Tensor};

use crate::generator::{DIFFUSION, GAN, GROWING, WITHOUT_ALIASES, resolved, run_on, store};
use crate::toy::{Folder, ToyWatch, remains};

/// Groups and shares divide on two devices, and gradients that are rounding errors are not blown up to whole steps.
const SHARED_GAN: &[&str] = &["network.mbstd_group=2", "optimiser.epsilon=0.0001"];
/// A step of 8 images at 4x4, then steps of 4: two that fade in and two that stand at 8x8, two and one at 16x16. With the
/// seed, no unit comes so near to the kink of its activation that rounding decides on which side of it it is.
const SHARED_GROWTH: &[&str] =
    &["growth.batches=[8, 4]", "growth.level_images=8", "growth.fade_images=8", "kimg=0.036", "seed=1"];

/// A tiny configuration of every family.
fn configurations() -> Vec<(&'static str, GeneratorConfig)> {
    let gan = |preset, parts: &[&[&str]]| resolved(preset, &[&parts.concat(), SHARED_GAN].concat());
    let short = &["kimg=0.032"];
    vec![
        ("stylegan2", gan("stylegan2-tiny-64", &[GAN, short])),
        ("r3gan", gan("r3gan-tiny-64", &[GAN, short])),
        ("stylegan3-t", gan("stylegan3-t-tiny-64", &[WITHOUT_ALIASES, short])),
        ("progan", gan("progan-tiny-64", &[GROWING, SHARED_GROWTH])),
        (
            "stylegan1",
            gan(
                "stylegan1-tiny-64",
                &[GROWING, SHARED_GROWTH, &["network.w_dim=8", "loss.style_mixing=0.5"]],
            ),
        ),
        ("edm", resolved("edm-tiny-64", &[DIFFUSION, short].concat())),
        ("flow", resolved("flow-tiny-64", &[DIFFUSION, short].concat())),
    ]
}

/// Tensors of the newest checkpoint by network or optimiser, each as one vector.
fn state(folder: &Path) -> BTreeMap<String, Tensor> {
    let mut parts: BTreeMap<String, Vec<Tensor>> = BTreeMap::new();
    for (name, tensor) in TrainedRun::open(folder).unwrap().checkpoint.tensors {
        let part = name.split('.').next().unwrap_or_default().to_owned();
        parts.entry(part).or_default().push(tensor.to_kind(Kind::Double).flatten(0, -1));
    }
    parts.into_iter().map(|(part, tensors)| (part, Tensor::cat(&tensors, 0))).collect()
}

#[test]
fn replicas_learn_what_one_device_learns() {
    let folder = Folder::new();
    let store = store(&folder);
    for (name, config) in configurations() {
        let trained = |count: usize| {
            let out = folder.path(&format!("{name}-{count}"));
            let devices = vec![Device::Cpu; count];
            run_on(&devices, &config, &store, None, &out, &mut ToyWatch::default()).unwrap();
            state(&out)
        };
        let (one, two) = (trained(1), trained(2));
        for (part, expected) in &one {
            let difference = (&two[part] - expected).norm().double_value(&[]);
            let share = difference / expected.norm().double_value(&[]).max(1e-9);
            // Both moments are of gradients, whose penalties are differences of nearly equal numbers.
            let most = if part.ends_with("adam") { 1e-3 } else { 1e-5 };
            assert!(share < most, "{name}: {part} differs by {share:e} of itself");
        }
    }
}

#[test]
fn replicas_that_stop_and_resume_end_with_the_same_bits() {
    let folder = Folder::new();
    let store = store(&folder);
    let devices = [Device::Cpu; 2];
    for (name, config) in configurations() {
        let whole = folder.path(&format!("{name}-whole"));
        run_on(&devices, &config, &store, None, &whole, &mut ToyWatch::default()).unwrap();
        let stopped = folder.path(&format!("{name}-stopped"));
        let resume = || {
            let mut watch = ToyWatch { stop_after: Some(3), ..ToyWatch::default() };
            run_on(&devices, &config, &store, None, &stopped, &mut watch).unwrap()
        };
        let interrupted = std::iter::repeat_with(resume).take_while(|&end| end == Outcome::Interrupted);
        assert!(interrupted.count() > 1, "{name}");
        assert!(remains(&stopped) == remains(&whole), "{name}");
    }
}

#[test]
fn batches_that_do_not_divide_are_refused_before_anything_is_made() {
    let folder = Folder::new();
    let store = store(&folder);
    let out = folder.path("refused");
    let config = resolved("progan-tiny-64", &[GROWING, SHARED_GAN].concat());
    let devices = [Device::Cpu; 2];
    let error = run_on(&devices, &config, &store, None, &out, &mut ToyWatch::default()).unwrap_err();
    let message = error.to_string();
    assert!(matches!(error, TrainError::Mismatch { .. }), "{message}");
    assert!(message.contains("growth.batches: expected a multiple of 4") && message.contains("found 6"));
    assert!(!out.exists());
}

#[test]
fn a_run_is_continued_on_the_devices_that_it_was_begun_on() {
    let folder = Folder::new();
    let store = store(&folder);
    let out = folder.path("run");
    let config = resolved("edm-tiny-64", DIFFUSION);
    let mut watch = ToyWatch { stop_after: Some(2), ..ToyWatch::default() };
    run_on(&[Device::Cpu; 2], &config, &store, None, &out, &mut watch).unwrap();
    let error = run_on(&[Device::Cpu], &config, &store, None, &out, &mut watch).unwrap_err().to_string();
    assert!(error.contains("engine.device: \"cpu,cpu\" -> \"cpu\""), "{error}");
}

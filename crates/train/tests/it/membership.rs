//! What a model gives away about its training images: one that has learnt them by heart all of it.

use std::path::Path;

use synthmr_core::Split;
use synthmr_data::store::SliceStore;
use synthmr_train::TrainError;
use synthmr_train::membership::{MembershipOptions, MembershipTarget};
use tch::Device;

use crate::generator::{DIFFUSION, GAN, GROWING, resolved, run_on};
use crate::toy::{Folder, ToyWatch, cohort};

/// Two slices of each of eight members and of eight others.
const MEMBERS: usize = 8;
const SLICES: usize = 2;

const OPTIONS: MembershipOptions = MembershipOptions { seed: 3, latent_steps: 4 };

fn store(folder: &Folder) -> SliceStore {
    let parts = [vec![Split::Train; MEMBERS], vec![Split::Control; MEMBERS]].concat();
    let path = folder.path("real.store");
    cohort(&path, 5, SLICES, &parts, ["T1", "T2"]);
    SliceStore::open(&path).unwrap()
}

fn trained(folder: &Folder, preset: &str, settings: &[&str]) -> std::path::PathBuf {
    let out = folder.path(preset);
    let config = resolved(preset, settings);
    let store = folder.path("real.store");
    run_on(&[Device::Cpu], &config, &store, None, &out, &mut ToyWatch::default()).unwrap();
    out
}

fn scores(run: &Path, store: &SliceStore, indices: &[u32]) -> Vec<Vec<f64>> {
    let target = MembershipTarget::load(run, OPTIONS, Device::Cpu).unwrap();
    let scores = target.score(store, indices, &mut ToyWatch::default()).unwrap().unwrap();
    assert_eq!(scores.len(), target.attacks().len());
    scores
}

/// The share of pairs of a member and another subject in which the member's mean score is the larger one.
fn area(scores: &[f64]) -> f64 {
    let subjects: Vec<f64> = scores.chunks(SLICES).map(|slices| slices.iter().sum()).collect();
    let (members, others) = subjects.split_at(MEMBERS);
    let wins = members.iter().flat_map(|member| others.iter().map(move |other| member > other));
    wins.filter(|&won| won).count() as f64 / (MEMBERS * MEMBERS) as f64
}

fn all(store: &SliceStore) -> Vec<u32> {
    (0..store.len() as u32).collect()
}

#[test]
fn a_diffusion_model_that_learnt_its_images_by_heart_gives_them_away() {
    let folder = Folder::new();
    let store = store(&folder);
    let settings = [
        DIFFUSION,
        &["network.channels=16", "batch=16", "kimg=6.4", "mirror=false", "inspection.images=0"],
        &["tick_images=3200", "checkpoint_images=3200", "ema_half_life_images=200.0"],
    ]
    .concat();
    let run = trained(&folder, "edm-tiny-64", &settings);
    let scores = scores(&run, &store, &all(&store));
    assert!(area(&scores[0]) > 0.95, "{:?}", scores.iter().map(|s| area(s)).collect::<Vec<_>>());
}

#[test]
fn every_family_scores_images_one_by_one() {
    let folder = Folder::new();
    let store = store(&folder);
    let forwards = all(&store);
    let backwards: Vec<u32> = forwards.iter().rev().copied().collect();
    for (preset, settings, attacks) in [
        ("stylegan2-tiny-64", GAN, 4),
        ("progan-tiny-64", GROWING, 4),
        ("edm-tiny-64", DIFFUSION, 8),
        ("diffusion-tiny-64", DIFFUSION, 8),
        ("flow-tiny-64", DIFFUSION, 8),
    ] {
        let run = trained(&folder, preset, settings);
        let (found, turned) = (scores(&run, &store, &forwards), scores(&run, &store, &backwards[..20]));
        assert_eq!(found.len(), attacks, "{preset}");
        for (found, turned) in found.iter().zip(&turned) {
            let matches = found.iter().rev().zip(turned).all(|(a, b)| (a - b).abs() < 1e-3 * (1.0 + b.abs()));
            assert!(matches && found.len() == store.len(), "{preset}: {found:?} {turned:?}");
        }
    }
}

#[test]
fn a_search_that_takes_steps_comes_nearer() {
    let folder = Folder::new();
    let store = store(&folder);
    let run = trained(&folder, "stylegan2-tiny-64", GAN);
    let nearest = |latent_steps| {
        let options = MembershipOptions { latent_steps, ..OPTIONS };
        let target = MembershipTarget::load(&run, options, Device::Cpu).unwrap();
        target.score(&store, &[0, 5, 20], &mut ToyWatch::default()).unwrap().unwrap()
    };
    let (none, some) = (nearest(0), nearest(30));
    // The last attack is minus the logarithm of the distance, the one before its gain over the candidates.
    for i in 0..3 {
        assert!(some[3][i] > none[3][i] && some[2][i] > none[2][i], "{none:?} {some:?}");
        assert!(none[2][i].abs() < 0.05, "without steps there is next to no gain: {none:?}");
    }
}

#[test]
fn rejects_other_stores_and_stops_when_asked() {
    let folder = Folder::new();
    let store = store(&folder);
    let run = trained(&folder, "edm-tiny-64", DIFFUSION);
    let target = MembershipTarget::load(&run, OPTIONS, Device::Cpu).unwrap();
    let other = folder.path("other.store");
    cohort(&other, 5, SLICES, &[Split::Train], ["T1", "FLAIR"]);
    let other = SliceStore::open(&other).unwrap();
    let error = target.score(&other, &[0], &mut ToyWatch::default()).unwrap_err();
    assert!(
        matches!(error, TrainError::Mismatch { .. }) && error.to_string().contains("T1, FLAIR"),
        "{error}"
    );
    let mut watch = ToyWatch { stop_after: Some(1), ..ToyWatch::default() };
    assert_eq!(target.score(&store, &all(&store), &mut watch).unwrap(), None);
    let empty = folder.path("empty");
    std::fs::create_dir(&empty).unwrap();
    assert!(MembershipTarget::load(&empty, OPTIONS, Device::Cpu).is_err());
}

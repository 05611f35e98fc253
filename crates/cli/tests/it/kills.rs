//! kill -9 at random moments: while the program starts, trains, and writes a checkpoint.

use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use synthmr_core::random::{Draw, Stream, rng};

use crate::{TINY_DIFFUSION, TINY_GENERATOR, TINY_SEGMENTER, make_store_of, run, spawn};

/// Kills of a kind of run.
const KILLS: usize = 20;

/// The newest checkpoint, which is the whole state of a run; equal states are equal files.
fn newest_checkpoint(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder.join("checkpoints")).unwrap();
    let newest: PathBuf = entries.map(|entry| entry.unwrap().path()).max().unwrap();
    std::fs::read(newest).unwrap()
}

/// Starts the command, kills it after `milliseconds` unless it ends before; true when it ended.
fn ends_within(folder: &Path, line: &str, milliseconds: u64) -> bool {
    let mut child = spawn(folder, line);
    for _ in 0..milliseconds / 10 {
        if child.try_wait().unwrap().is_some() {
            return true;
        }
        sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    false
}

fn check(command: &str, seed: u64) {
    check_with_side(command, seed, 16);
}

fn check_with_side(command: &str, seed: u64, side: usize) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store_of(folder, side);
    run(folder, &format!("{command} --out whole"), 0);
    let expected = newest_checkpoint(&folder.join("whole"));

    let mut random = rng(seed, Stream::Test, 0);
    let mut kills = 0;
    for round in 0.. {
        let name = format!("killed-{round}");
        let line = format!("{command} --out {name}");
        // A run that gets through before it was killed often enough is followed by another.
        while kills < KILLS && !ends_within(folder, &line, 100 + random.below(700)) {
            kills += 1;
        }
        run(folder, &line, 0);
        assert!(newest_checkpoint(&folder.join(&name)) == expected, "{name}, after {kills} kills");
        if kills == KILLS {
            break;
        }
    }
    let left: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.join("checkpoints").is_dir())
        .flat_map(|run| std::fs::read_dir(run.join("checkpoints")).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_none_or(|extension| extension != "safetensors"))
        .collect();
    assert!(left.is_empty(), "half-written files stay behind: {left:?}");
}

#[test]
fn a_generator_killed_at_random_moments_ends_with_the_same_bits() {
    check(&format!("train generator {TINY_GENERATOR} --data ph.store --kimg 0.8"), 1);
}

#[test]
fn a_diffusion_model_killed_at_random_moments_ends_with_the_same_bits() {
    check(&format!("train generator {TINY_DIFFUSION} --data ph.store --kimg 0.8"), 3);
}

/// Settings that make any other GAN small enough; those that grow add their levels.
const TINY: &str = "--set resolution=16 --set batch=4 --set network.channel_base=64 --set network.channel_max=8 \
    --set network.z_dim=8 --set tick_images=8 --set checkpoint_images=16 --set inspection.images=8 \
    --precision f32 --threads 1 --data ph.store";

const GROWTH: &str = "--set growth.batches=[8,4] --set growth.rate_shares=[1.0,1.0] --set growth.level_images=150 \
    --set growth.fade_images=150";

#[test]
fn a_progressive_gan_killed_at_random_moments_ends_with_the_same_bits() {
    check(&format!("train generator --preset progan-tiny-64 {TINY} {GROWTH} --kimg 0.9"), 4);
}

#[test]
fn a_stylegan1_killed_at_random_moments_ends_with_the_same_bits() {
    check(&format!("train generator --preset stylegan1-tiny-64 {TINY} {GROWTH} --kimg 0.9"), 5);
}

#[test]
fn a_stylegan3_killed_at_random_moments_ends_with_the_same_bits() {
    let more = "--set network.layers=3 --set network.discriminator_base=64 --set network.discriminator_max=8";
    check(&format!("train generator --preset stylegan3-r-tiny-64 {TINY} {more} --kimg 0.4"), 6);
}

#[test]
fn an_r3gan_killed_at_random_moments_ends_with_the_same_bits() {
    check(&format!("train generator --preset r3gan-tiny-64 {TINY} --kimg 0.8"), 10);
}

/// Settings that make the network of DDPM and of rectified flow small.
const TINY_NETWORK: &str = "--set resolution=16 --set batch=4 --set network.channels=8 --set network.multipliers=[1,2] \
    --set network.attention=[4] --set network.heads=2 --set network.norm_groups=4 --set tick_images=8 \
    --set checkpoint_images=16 --set inspection.images=8 --precision f32 --threads 1 --data ph.store";

#[test]
fn a_ddpm_killed_at_random_moments_ends_with_the_same_bits() {
    let learned = "--set process.bound_weight=0.001 --set sampler.variance=learned";
    check(&format!("train generator --preset diffusion-tiny-64 {TINY_NETWORK} {learned} --kimg 0.8"), 11);
}

#[test]
fn a_rectified_flow_killed_at_random_moments_ends_with_the_same_bits() {
    check(&format!("train generator --preset flow-tiny-64 {TINY_NETWORK} --kimg 0.8"), 12);
}

/// Settings that make the steps of any segmenter small.
const SMALL_STEPS: &str = "--set batch=4 --set tick_images=8 --set validation_images=16 --set checkpoint_images=16 \
    --set validation_slices=16 --precision f32 --threads 1 --train ph.store";

#[test]
fn a_swin_transformer_killed_at_random_moments_ends_with_the_same_bits() {
    let sizes = "--set resolution=32 --set network.embedding=8 --set network.depths=[1,1,1,1] \
        --set network.decoder=8 --set network.auxiliary=8 --set augmentation.on=true";
    check_with_side(
        &format!("train segmenter --preset swin-tiny-64 {sizes} {SMALL_STEPS} --kimg 0.8"),
        7,
        32,
    );
}

#[test]
fn a_residual_encoder_killed_at_random_moments_ends_with_the_same_bits() {
    let sizes = "--set resolution=16 --set network.base_filters=4 --set network.blocks=[1,1,1]";
    check(&format!("train segmenter --preset resenc-256 {sizes} {SMALL_STEPS} --kimg 1.6"), 8);
}

#[test]
fn a_segmenter_killed_at_random_moments_ends_with_the_same_bits() {
    check(&format!("train segmenter {TINY_SEGMENTER} --train ph.store --kimg 1.6"), 2);
}

//! The program as a user meets it: what it prints, its exit codes, and the commands of the main job.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail the test, as tests do")]

mod audit;
mod chain;
mod errors;
mod help;
mod kills;
mod readme;
mod realism;
mod signals;

use std::path::Path;
use std::process::{Child, Stdio};

use assert_cmd::Command;

/// The program, in `folder`, with one thread: tests share the machine.
fn synthmr(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_synthmr"));
    command.current_dir(folder).env("COLUMNS", "100").args(["--threads", "1"]);
    command
}

/// Runs a command line that must end with `code`; gives stdout and stderr.
fn run(folder: &Path, line: &str, code: i32) -> (String, String) {
    let output = synthmr(folder).args(line.split_whitespace()).output().unwrap();
    let [out, err] = [output.stdout, output.stderr].map(|bytes| String::from_utf8(bytes).unwrap());
    assert_eq!(output.status.code(), Some(code), "synthmr {line}\n{out}\n{err}");
    (out, err)
}

/// Starts a command line with one thread and without output, to be stopped from outside.
fn spawn(folder: &Path, line: &str) -> Child {
    std::process::Command::new(env!("CARGO_BIN_EXE_synthmr"))
        .current_dir(folder)
        .args(["--threads", "1"])
        .args(line.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Settings that make a generator small enough for a test.
const TINY_GENERATOR: &str = "--preset stylegan2-tiny-64 --set resolution=16 --set batch=4 \
    --set network.channel_base=64 --set network.channel_max=8 --set network.z_dim=8 --set network.w_dim=8 \
    --set tick_images=8 --set checkpoint_images=16 --set inspection.images=8 --set loss.path_length_weight=2.0 \
    --precision f32 --threads 1";
/// Settings that make a diffusion model small enough for a test.
const TINY_DIFFUSION: &str = "--preset edm-tiny-64 --set resolution=16 --set batch=4 \
    --set network.channels=8 --set network.norm_groups=4 --set network.attention=[4] --set sampler.steps=2 \
    --set tick_images=8 --set checkpoint_images=16 --set inspection.images=8 --precision f32 --threads 1";
/// Settings that make a segmenter small enough for a test.
const TINY_SEGMENTER: &str = "--preset unet-tiny-64 --set resolution=16 --set batch=4 \
    --set network.base_filters=4 --set network.depth=3 --set tick_images=8 --set validation_images=16 \
    --set checkpoint_images=16 --precision f32 --threads 1";

/// A phantom cohort `ph` and its store `ph.store` in `folder`.
fn make_store(folder: &Path) {
    make_store_of(folder, 16);
}

/// As [`make_store`], with images of `side` pixels.
fn make_store_of(folder: &Path, side: usize) {
    run(folder, "phantom ph --subjects 6 --seed 7 --size 32", 0);
    let split = "train=0.5,val=0.2,test=0.3";
    run(folder, &format!("import ph --out ph.store --resolution {side} --split {split} --seed 7"), 0);
}

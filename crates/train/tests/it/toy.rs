//! Small stores, and a caller that stops or dies when it is told to.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use synthmr_core::random::{Draw, Stream, rng};
use synthmr_core::records::{
    Origin, PreparationRecord, SamplingRecord, SplitMethod, SplitRecord, SubjectRecord, Tick,
};
use synthmr_core::{Digest, LabelScheme, Split};
use synthmr_data::store::{StoreLayout, StoreWriter};
use synthmr_train::Watch;
use synthmr_train::run::TrainedRun;

pub(crate) const SIDE: usize = 16;

/// A disc of class 1 to 3 on a noisy head: class 1 is bright in the first channel, class 2 in the second, class 3
/// in both. Images `[2, SIDE, SIDE]` and labels.
fn slice(seed: u64, index: u64) -> (Vec<u8>, Vec<u8>) {
    let mut r = rng(seed, Stream::Test, index);
    let (x, y, class) = (r.uniform_in(4.0, 12.0), r.uniform_in(4.0, 12.0), 1 + r.below(3) as u8);
    let (mut images, mut labels) = (vec![0; 2 * SIDE * SIDE], vec![0; SIDE * SIDE]);
    for pixel in 0..SIDE * SIDE {
        let (row, column) = ((pixel / SIDE) as f64, (pixel % SIDE) as f64);
        if (row - 7.5).hypot(column - 7.5) > 7.9 {
            continue;
        }
        let inside = (row - y).hypot(column - x) < 3.0;
        labels[pixel] = if inside { class } else { 0 };
        for channel in 0..2 {
            let bright = inside && class & (1 << channel) != 0;
            let level = if bright { 200 } else { 40 };
            images[channel * SIDE * SIDE + pixel] = level + r.below(20) as u8;
        }
    }
    (images, labels)
}

fn layout(channels: [&str; 2]) -> StoreLayout {
    let channels = channels.map(str::to_owned).to_vec();
    StoreLayout { channels, height: SIDE, width: SIDE, labels: LabelScheme::brats() }
}

/// A store of a cohort with one subject a part, `slices` slices each, written from the head down.
pub(crate) fn cohort(path: &Path, seed: u64, slices: usize, parts: &[Split], channels: [&str; 2]) {
    let mut writer = StoreWriter::create(path, layout(channels)).unwrap();
    for subject in 0..parts.len() {
        for number in (0..slices).rev() {
            let (images, labels) = slice(seed, (subject * slices + number) as u64);
            writer.push(&images, &labels, Some(subject as u32), number as i32).unwrap();
        }
    }
    let subjects = parts
        .iter()
        .map(|&split| SubjectRecord {
            pseudonym: Digest::of(split.name().as_bytes()),
            split,
            slices,
            spacing_mm: [1.0; 3],
        })
        .collect();
    let split = SplitRecord {
        method: SplitMethod::List,
        request: "toy".into(),
        digest: Digest::of(format!("{parts:?}").as_bytes()),
    };
    let preparation = PreparationRecord { recipe: "toy".into(), steps: vec![] };
    writer.finish(Origin::Cohort { preparation, split, subjects }).unwrap();
}

/// A store of `slices` synthetic images.
pub(crate) fn synthetic(path: &Path, seed: u64, slices: usize) {
    synthetic_by(path, seed, slices, SamplingRecord::without_generators());
}

/// The same, drawn as `record` says.
pub(crate) fn synthetic_by(path: &Path, seed: u64, slices: usize, record: SamplingRecord) {
    let mut writer = StoreWriter::create(path, layout(["T1", "T2"])).unwrap();
    for number in 0..slices {
        let (images, labels) = slice(seed, number as u64);
        writer.push(&images, &labels, None, number as i32).unwrap();
    }
    writer.finish(Origin::Sampled(Box::new(record))).unwrap();
}

/// Lets a computation run for so many steps, then asks it to stop, or panics in the middle of it.
#[derive(Default)]
pub(crate) struct ToyWatch {
    /// Steps after which it is asked to stop.
    pub(crate) stop_after: Option<u64>,
    /// Steps after which it dies without a chance to save.
    pub(crate) die_after: Option<u64>,
    /// Steps so far.
    pub(crate) steps: u64,
    pub(crate) ticks: Vec<Tick>,
    pub(crate) notes: Vec<String>,
}

impl Watch for ToyWatch {
    fn seconds(&self) -> f64 {
        0.0
    }

    fn should_stop(&self) -> bool {
        self.stop_after.is_some_and(|limit| self.steps >= limit)
    }

    fn progress(&mut self, _images_done: u64, _images_total: u64) {
        self.steps += 1;
        assert_ne!(self.die_after, Some(self.steps), "killed, as the test wants it");
    }

    fn tick(&mut self, tick: &Tick) {
        self.ticks.push(tick.clone());
    }

    fn note(&mut self, message: &str) {
        self.notes.push(message.to_owned());
    }
}

/// A folder that is removed when the test ends, and the right to train: a training step seeds the device's one
/// random generator, so that two trainings in one process would draw each other's numbers.
pub(crate) struct Folder {
    folder: tempfile::TempDir,
    _turn: MutexGuard<'static, ()>,
}

impl Folder {
    pub(crate) fn new() -> Self {
        static TURN: Mutex<()> = Mutex::new(());
        // A test that failed has left the generator in no state that the next one could notice.
        let turn = TURN.lock().unwrap_or_else(PoisonError::into_inner);
        // Test processes run side by side; OpenMP's threads would spin for each other's cores, ten times slower.
        synthmr_nets::engine::set_threads(1);
        Self { folder: tempfile::tempdir().unwrap(), _turn: turn }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }
}

/// Everything that a run leaves behind: the digest of its last checkpoint, which covers weights, optimiser, best
/// network and counters, and the log without timings.
pub(crate) fn remains(folder: &Path) -> (Digest, Vec<serde_json::Value>) {
    let events = fs::read_to_string(folder.join("events.jsonl")).unwrap();
    let without_timings = |line: &str| {
        let mut tick: serde_json::Value = serde_json::from_str(line).unwrap();
        tick["values"].as_object_mut().unwrap().remove("images_per_second");
        tick
    };
    (TrainedRun::open(folder).unwrap().digest, events.lines().map(without_timings).collect())
}

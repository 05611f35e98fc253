use std::collections::BTreeMap;

use synthmr_core::records::{EngineRecord, InputRecord, ModelKind, Tool};
use tch::Tensor;

use super::*;

#[derive(Default)]
struct Listener {
    notes: Vec<String>,
    ticks: Vec<u64>,
}

impl Watch for Listener {
    fn seconds(&self) -> f64 {
        1.7e9
    }
    fn should_stop(&self) -> bool {
        false
    }
    fn progress(&mut self, _: u64, _: u64) {}
    fn tick(&mut self, tick: &Tick) {
        self.ticks.push(tick.images_seen);
    }
    fn note(&mut self, message: &str) {
        self.notes.push(message.to_owned());
    }
}

fn record() -> RunRecord {
    let input = InputRecord {
        name: "ph.store".into(),
        digest: Digest::of(b"ph"),
        split: "train".into(),
        weight: None,
        images: 100,
    };
    RunRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        kind: ModelKind::Generator,
        config: serde_json::json!({ "batch": 8, "loss": { "r1": 0.1 } }),
        inputs: vec![input],
        adopted: None,
        channels: vec!["T1".into()],
        labels: synthmr_core::LabelScheme::brats(),
        training_labels: None,
        engine: EngineRecord {
            libtorch: "2.11.0".into(),
            device: "cpu".into(),
            precision: "f32".into(),
            threads: 2,
        },
    }
}

fn checkpoint(images_seen: u64) -> Checkpoint {
    let tensors = BTreeMap::from([("w".to_owned(), Tensor::from_slice(&[images_seen as f32]))]);
    Checkpoint { images_seen, state: serde_json::Value::Null, tensors }
}

fn tick(images_seen: u64) -> Tick {
    Tick { images_seen, values: BTreeMap::from([("loss".to_owned(), 1.0 / images_seen as f64)]) }
}

fn file_names(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(folder).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_run_keeps_two_checkpoints_and_continues_from_the_newest() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("gen");
    let mut listener = Listener::default();
    let run = Run::start(&folder, &record(), &mut listener).unwrap();
    assert!(run.latest_checkpoint(&mut listener).unwrap().is_none());
    assert!(matches!(TrainedRun::open(&folder), Err(RunError::Untrained { .. })));
    for images_seen in [100, 200, 1_000_000_000, 2_000_000_000] {
        run.save_checkpoint(&checkpoint(images_seen)).unwrap();
    }
    assert_eq!(file_names(&folder.join(CHECKPOINTS)), ["1000000000.safetensors", "2000000000.safetensors"]);
    assert!(matches!(
        Run::start(&folder, &record(), &mut listener),
        Err(RunError::File(FileError::InUse { .. }))
    ));
    run.finish(2_000_000_000, None).unwrap();
    drop(run);

    fs::write(folder.join(CHECKPOINTS).join(".tmp-killed"), "half").unwrap();
    let run = Run::start(&folder, &record(), &mut listener).unwrap();
    assert!(run.is_finished());
    assert_eq!(run.latest_checkpoint(&mut listener).unwrap().unwrap().images_seen, 2_000_000_000);
    assert_eq!(file_names(&folder.join(CHECKPOINTS)).len(), 2, "the half-written file is gone");
    assert_eq!(TrainedRun::open(&folder).unwrap().record, record());
    assert!(listener.notes.is_empty(), "{:?}", listener.notes);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_with_a_note() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("gen");
    let mut listener = Listener::default();
    let run = Run::start(&folder, &record(), &mut listener).unwrap();
    run.save_checkpoint(&checkpoint(100)).unwrap();
    run.save_checkpoint(&checkpoint(200)).unwrap();
    let newest = folder.join(CHECKPOINTS).join("000000200.safetensors");
    fs::write(&newest, &fs::read(&newest).unwrap()[..300]).unwrap();
    assert_eq!(run.latest_checkpoint(&mut listener).unwrap().unwrap().images_seen, 100);
    assert!(listener.notes[0].contains("000000200.safetensors"), "{:?}", listener.notes);
    let opened = TrainedRun::open(&folder).unwrap();
    assert_eq!((opened.checkpoint.images_seen, opened.notes.len()), (100, 1));

    // With none left, training must not begin again from nothing in silence.
    fs::write(folder.join(CHECKPOINTS).join("000000100.safetensors"), "").unwrap();
    let message = run.latest_checkpoint(&mut listener).unwrap_err().to_string();
    assert!(message.contains("000000200.safetensors"), "{message}");
}

#[test]
fn other_settings_are_refused_with_their_difference() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("gen");
    let mut listener = Listener::default();
    drop(Run::start(&folder, &record(), &mut listener).unwrap());
    let mut changed = record();
    changed.config["loss"]["r1"] = 0.2.into();
    changed.inputs[0].digest = Digest::of(b"other");
    changed.engine.threads = 4;
    let message = Run::start(&folder, &changed, &mut listener).unwrap_err().to_string();
    assert!(message.contains("config.loss.r1: 0.1 -> 0.2"), "{message}");
    assert!(message.contains("engine.threads: 2 -> 4"), "{message}");
    assert!(message.contains("data 1: 100 images of train"), "{message}");
    assert!(message.contains("hint:"), "{message}");

    // The same data under another name and a newer program continue the run.
    let mut moved = record();
    moved.inputs[0].name = "copy.store".into();
    moved.tool.version = "99.0.0".into();
    let run = Run::start(&folder, &moved, &mut listener).unwrap();
    run.save_checkpoint(&checkpoint(8)).unwrap();
    assert!(run.latest_checkpoint(&mut listener).unwrap().is_some());
    assert!(listener.notes[0].contains("99.0.0"), "{:?}", listener.notes);
}

#[test]
fn a_resumed_run_does_not_repeat_ticks() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("gen");
    let mut listener = Listener::default();
    let mut run = Run::start(&folder, &record(), &mut listener).unwrap();
    run.begin_events(0).unwrap();
    for images_seen in [100, 200, 300] {
        run.tick(&tick(images_seen), &mut listener).unwrap();
    }
    let complete = [EVENTS_FILE, TENSORBOARD_FILE].map(|name| fs::read(folder.join(name)).unwrap());
    drop(run);
    // A kill in the middle of a line, after the checkpoint at 200.
    fs::write(folder.join(EVENTS_FILE), &complete[0][..complete[0].len() - 5]).unwrap();
    fs::write(folder.join(TENSORBOARD_FILE), &complete[1][..complete[1].len() - 5]).unwrap();
    let mut run = Run::start(&folder, &record(), &mut listener).unwrap();
    run.begin_events(200).unwrap();
    run.tick(&tick(300), &mut listener).unwrap();
    let resumed = [EVENTS_FILE, TENSORBOARD_FILE].map(|name| fs::read(folder.join(name)).unwrap());
    assert_eq!(complete, resumed);
    assert_eq!(listener.ticks, [100, 200, 300, 300]);
}

#[test]
fn a_folder_of_other_things_is_left_alone() {
    let parent = tempfile::tempdir().unwrap();
    fs::write(parent.path().join("thesis.tex"), "x").unwrap();
    let mut listener = Listener::default();
    let message = Run::start(parent.path(), &record(), &mut listener).unwrap_err().to_string();
    assert!(message.contains("thesis.tex") && message.contains("hint:"), "{message}");
    assert_eq!(file_names(parent.path()), ["thesis.tex"]);
    let file = parent.path().join("thesis.tex");
    assert!(matches!(Run::start(&file, &record(), &mut listener), Err(RunError::NotARun { .. })));
    assert!(matches!(TrainedRun::open(parent.path()), Err(RunError::NotARun { .. })));
}

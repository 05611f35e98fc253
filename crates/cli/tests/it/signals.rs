use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::{TINY_GENERATOR, make_store, run, spawn};

/// Starts a training that would take minutes, and waits until it has logged something new.
fn start(folder: &Path, line: &str) -> Child {
    let events = folder.join("gen/events.jsonl");
    let lines = || fs::read_to_string(&events).map_or(0, |text| text.lines().count());
    let before = lines();
    let child = spawn(folder, line);
    let begun = Instant::now();
    while lines() <= before {
        assert!(begun.elapsed() < Duration::from_secs(120), "the training logs nothing");
        sleep(Duration::from_millis(20));
    }
    child
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(status.unwrap().success());
}

/// Runs a command, sends a signal at its first line of progress, and gives its exit code and what it said then.
fn stopped(folder: &Path, line: &str, name: &str) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_synthmr"))
        .current_dir(folder)
        .args(["--threads", "1"])
        .args(line.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map(Result::unwrap);
    let first = lines.find(|line| line.starts_with("subject ")).unwrap();
    assert!(first.starts_with("subject 1 of "), "{first}");
    signal(&child, name);
    let rest: Vec<String> = lines.collect();
    (child.wait().unwrap().code(), rest.join("\n"))
}

#[test]
fn a_signal_ends_the_making_of_data_with_5_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    run(folder, "phantom ph --subjects 12 --size 48", 0);
    for (line, name) in [
        ("phantom many --subjects 200 --size 64", "INT"),
        ("phantom many --subjects 200 --size 64", "TERM"),
        ("import ph --out ph.store --resolution 256", "INT"),
        ("import ph --out ph.store --resolution 256", "TERM"),
    ] {
        let (code, words) = stopped(folder, line, name);
        assert_eq!(code, Some(5), "synthmr {line} after SIG{name}\n{words}");
        assert!(words.contains("error: interrupted; nothing was written\nhint:"), "{words}");
        let left: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["ph"], "synthmr {line} after SIG{name}");
    }
    // Nothing stands in the way of the same command.
    run(folder, "import ph --out ph.store --resolution 16", 0);
}

#[test]
fn a_signal_saves_and_ends_with_5_and_one_process_trains_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    make_store(folder);
    let train = format!("train generator {TINY_GENERATOR} --data ph.store --out gen --kimg 1000");
    for name in ["TERM", "INT", "USR1"] {
        let mut child = start(folder, &train);
        if name == "TERM" {
            let (_, err) = run(folder, &train, 4);
            assert!(err.contains("gen is in use by another synthmr process"), "{err}");
        }
        let before = fs::read_to_string(folder.join("gen/events.jsonl")).unwrap();
        signal(&child, name);
        assert_eq!(child.wait().unwrap().code(), Some(5), "after SIG{name}");
        assert!(fs::read_dir(folder.join("gen/checkpoints")).unwrap().count() >= 1);
        let after = fs::read_to_string(folder.join("gen/events.jsonl")).unwrap();
        assert!(after.starts_with(&before), "no tick is repeated");
    }
    assert!(!folder.join("gen/finished.json").exists());
}

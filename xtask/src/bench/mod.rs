//! `cargo xtask bench`: our benches beside the tools that people use for the same work, taking turns.
//!
//! A bench is an example `crates/*/examples/bench_NAME.rs`; its peer is `tools/bench/NAME.py`. Both print JSON
//! lines with `bench`, `system`, `seconds_median`, `seconds_min`, `seconds_max` and `runs`. A peer measures the
//! same work, and says so by the same `bench`. stdout carries JSON lines and nothing else.

mod rows;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::arguments::BenchOptions;
use crate::failure::{Exit, Failure};
use crate::libtorch;
use crate::workspace::{Workspace, run as run_command};

use rows::Row;

/// Folders below `crates` that may hold benches: what is on the path of a run's time.
const CRATES: [&str; 3] = ["data", "metrics", "train"];

/// One bench with the peer that does the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Pair {
    /// Crate and example.
    ours: Option<(String, String)>,
    /// Python script.
    peer: Option<PathBuf>,
}

/// The verb.
pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<(), Failure> {
    let pairs = discover(&workspace.root, options.filter.as_deref())?;
    if pairs.is_empty() {
        let filter = options.filter.as_deref().unwrap_or("");
        return Err(Failure::new(Exit::Usage, format!("no bench has `{filter}` in its name"))
            .hint("benches are crates/*/examples/bench_*.rs and tools/bench/*.py"));
    }
    libtorch::set_up(workspace, false)?;
    build(workspace, &pairs)?;
    let examples = workspace.target_folder()?.join("release").join("examples");
    if options.python.is_none() && pairs.values().any(|pair| pair.peer.is_some()) {
        eprintln!("bench: peers are skipped: name a Python that has them with --python PYTHON");
    }
    let mut failed = Vec::new();
    let mut all = Vec::new();
    for (name, pair) in &pairs {
        for round in 1..=options.rounds {
            for mut command in commands(workspace, pair, &examples, options.python.as_deref()) {
                eprintln!("bench {name}, round {round} of {}", options.rounds);
                match measure(&mut command) {
                    Ok(rows) => all.extend(rows),
                    Err(failure) => {
                        eprintln!("bench {name}: {failure}");
                        failed.push(name.as_str());
                    }
                }
            }
        }
    }
    for ratio in rows::ratios(&rows::merged(all)) {
        println!("{ratio}");
    }
    failed.dedup();
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Finding, format!("benches without a result: {}", failed.join(", "))))
}

/// Finds benches and peers by their file names.
fn discover(root: &Path, filter: Option<&str>) -> Result<BTreeMap<String, Pair>, Failure> {
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    for package in CRATES {
        for stem in stems(&root.join("crates").join(package).join("examples"), "rs")? {
            if let Some(name) = stem.strip_prefix("bench_") {
                pairs.entry(name.to_owned()).or_default().ours =
                    Some((format!("synthmr-{package}"), stem.clone()));
            }
        }
    }
    let peers = root.join("tools").join("bench");
    for stem in stems(&peers, "py")? {
        pairs.entry(stem.clone()).or_default().peer = Some(peers.join(format!("{stem}.py")));
    }
    // A name with an underscore in front is a module that scripts share.
    pairs.retain(|name, _| !name.starts_with('_') && filter.is_none_or(|filter| name.contains(filter)));
    Ok(pairs)
}

/// Stems of the files with an ending in a folder, which need not exist.
fn stems(folder: &Path, ending: &str) -> Result<Vec<String>, Failure> {
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let entries = fs::read_dir(folder).map_err(Failure::io("read", folder))?;
    let paths = entries.flatten().map(|entry| entry.path());
    let with_ending = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    Ok(with_ending.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect())
}

fn build(workspace: &Workspace, pairs: &BTreeMap<String, Pair>) -> Result<(), Failure> {
    let mut command = workspace.cargo();
    command.args(["build", "--release"]);
    let mut any = false;
    for (package, example) in pairs.values().filter_map(|pair| pair.ours.as_ref()) {
        command.args(["--package", package, "--example", example]);
        any = true;
    }
    if any { run_command(&mut command) } else { Ok(()) }
}

/// The commands of one turn: ours, then theirs.
fn commands(workspace: &Workspace, pair: &Pair, examples: &Path, python: Option<&Path>) -> Vec<Command> {
    let ours = pair.ours.as_ref().map(|(_, example)| Command::new(examples.join(example)));
    let peer = pair.peer.as_ref().zip(python).map(|(script, python)| {
        let mut command = Command::new(python);
        command.arg(script);
        command
    });
    let mut commands: Vec<Command> = ours.into_iter().chain(peer).collect();
    for command in &mut commands {
        command.current_dir(&workspace.root);
    }
    commands
}

/// Runs one program and passes its JSON lines on as they come.
fn measure(command: &mut Command) -> Result<Vec<Row>, Failure> {
    let program = command.get_program().display().to_string();
    let failed = |why: String| Failure::new(Exit::Finding, format!("`{program}`: {why}"));
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let mut found = Vec::new();
    let mut wrong = None;
    for line in child.stdout.take().into_iter().flat_map(|stdout| BufReader::new(stdout).lines()) {
        let line = line.map_err(|error| failed(format!("its output cannot be read: {error}")))?;
        if !line.starts_with('{') {
            eprintln!("{line}");
            continue;
        }
        match Row::parse(&line) {
            Ok(row) => {
                println!("{line}");
                found.push(row);
            }
            Err(why) => wrong = Some(format!("{why} in {line}")),
        }
    }
    let status = child.wait().map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    if !status.success() {
        return Err(failed(status.to_string()));
    }
    match wrong {
        Some(why) => Err(failed(why)),
        None if found.is_empty() => Err(failed("printed no JSON line".to_owned())),
        None => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benches_meet_their_peers_by_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |path: &str| {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        };
        assert_eq!(discover(folder.path(), None).unwrap().len(), 0);
        file("crates/train/examples/bench_unet_step.rs");
        file("crates/train/examples/other.rs");
        file("crates/data/examples/bench_import.rs");
        file("tools/bench/unet_step.py");
        file("tools/bench/_common.py");
        let pairs = discover(folder.path(), None).unwrap();
        assert_eq!(pairs.keys().collect::<Vec<_>>(), ["import", "unet_step"]);
        assert_eq!(pairs["unet_step"].ours, Some(("synthmr-train".into(), "bench_unet_step".into())));
        assert_eq!(pairs["unet_step"].peer, Some(folder.path().join("tools/bench/unet_step.py")));
        assert_eq!(pairs["import"].peer, None);
        assert_eq!(discover(folder.path(), Some("imp")).unwrap().len(), 1);
    }

    #[test]
    fn a_program_must_print_a_line_and_end_well() {
        let shell = |script: &str| {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            measure(&mut command)
        };
        let line =
            r#"{"bench":"b","system":"s","seconds_median":1,"seconds_min":1,"seconds_max":1,"runs":1}"#;
        assert_eq!(shell(&format!("echo noise; echo '{line}'")).unwrap().len(), 1);
        for (script, expected) in [
            ("true", "printed no JSON line"),
            ("exit 3", "exit status: 3"),
            ("echo '{\"bench\": 1}'", "in {\"bench\": 1}"),
        ] {
            let text = shell(script).unwrap_err().to_string();
            assert!(text.contains(expected), "expected `{expected}` in `{text}`");
        }
    }
}

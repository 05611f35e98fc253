//! `cargo xtask bench`: our benches beside the tools that people use for the same work, taking turns.
//!
//! A bench is an example `crates/*/examples/bench_NAME.rs`; its peers are `tools/bench/NAME.py` and
//! `tools/bench/NAME_TOOL.py`. All print JSON lines with `bench`, `system`, `seconds_median`, `seconds_min`,
//! `seconds_max` and `runs`. A peer measures the same work, and says so by the same `bench`. stdout carries JSON
//! lines and nothing else.

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
const CRATES: [&str; 4] = ["audit", "data", "metrics", "train"];

/// One bench with the peers that do the same.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contest {
    /// Crate and example.
    ours: Option<(String, String)>,
    /// Python scripts.
    peers: Vec<PathBuf>,
}

/// The verb.
pub(crate) fn run(workspace: &Workspace, options: &BenchOptions) -> Result<(), Failure> {
    let contests = discover(&workspace.root, options.filter.as_deref())?;
    if contests.is_empty() {
        let filter = options.filter.as_deref().unwrap_or("");
        return Err(Failure::new(Exit::Usage, format!("no bench has `{filter}` in its name"))
            .hint("benches are crates/*/examples/bench_*.rs and tools/bench/*.py"));
    }
    if !options.sizes.is_empty() && contests.len() > 1 {
        return Err(Failure::new(Exit::Usage, "numbers after `--` are those of one bench")
            .hint("name it: cargo xtask bench gans -- RUNS THREADS SIDE BATCH"));
    }
    libtorch::set_up(workspace, false)?;
    build(workspace, &contests)?;
    let examples = workspace.target_folder()?.join("release").join("examples");
    if options.python.is_none() && contests.values().any(|contest| !contest.peers.is_empty()) {
        eprintln!("bench: peers are skipped: name a Python that has them with --python PYTHON");
    }
    let mut failed = Vec::new();
    let mut all = Vec::new();
    for (name, contest) in &contests {
        for round in 1..=options.rounds {
            for mut command in commands(workspace, contest, &examples, options) {
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
fn discover(root: &Path, filter: Option<&str>) -> Result<BTreeMap<String, Contest>, Failure> {
    let mut contests: BTreeMap<String, Contest> = BTreeMap::new();
    for package in CRATES {
        for stem in stems(&root.join("crates").join(package).join("examples"), "rs")? {
            if let Some(name) = stem.strip_prefix("bench_") {
                contests.entry(name.to_owned()).or_default().ours =
                    Some((format!("synthmr-{package}"), stem.clone()));
            }
        }
    }
    let folder = root.join("tools").join("bench");
    let mut scripts = stems(&folder, "py")?;
    scripts.sort();
    // A name with an underscore in front is a module that scripts share.
    for stem in scripts.iter().filter(|stem| !stem.starts_with('_')) {
        let same_work = |name: &&String| {
            stem.strip_prefix(name.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('_'))
        };
        let name = contests.keys().filter(same_work).max_by_key(|name| name.len()).unwrap_or(stem).clone();
        contests.entry(name).or_default().peers.push(folder.join(format!("{stem}.py")));
    }
    contests.retain(|name, _| filter.is_none_or(|filter| name.contains(filter)));
    Ok(contests)
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

fn build(workspace: &Workspace, contests: &BTreeMap<String, Contest>) -> Result<(), Failure> {
    let mut command = workspace.cargo();
    command.args(["build", "--release"]);
    let mut any = false;
    for (package, example) in contests.values().filter_map(|contest| contest.ours.as_ref()) {
        command.args(["--package", package, "--example", example]);
        any = true;
    }
    if any { run_command(&mut command) } else { Ok(()) }
}

/// The commands of one turn: ours, then theirs.
fn commands(
    workspace: &Workspace,
    contest: &Contest,
    examples: &Path,
    options: &BenchOptions,
) -> Vec<Command> {
    let ours = contest.ours.as_ref().map(|(_, example)| Command::new(examples.join(example)));
    let peers = options.python.iter().flat_map(|python| {
        contest.peers.iter().map(move |script| {
            let mut command = Command::new(python);
            command.arg(script);
            command
        })
    });
    let mut commands: Vec<Command> = ours.into_iter().chain(peers).collect();
    for command in &mut commands {
        command.current_dir(&workspace.root).args(&options.sizes);
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
        file("crates/train/examples/bench_unet.rs");
        for script in ["unet_step_torch", "unet", "unet_monai", "unetx", "_common"] {
            file(&format!("tools/bench/{script}.py"));
        }
        let contests = discover(folder.path(), None).unwrap();
        assert_eq!(contests.keys().collect::<Vec<_>>(), ["import", "unet", "unet_step", "unetx"]);
        let peers = |name: &str| {
            let stems = contests[name].peers.iter().map(|path| path.file_stem().unwrap().to_str().unwrap());
            stems.map(str::to_owned).collect::<Vec<_>>()
        };
        assert_eq!(contests["unet_step"].ours, Some(("synthmr-train".into(), "bench_unet_step".into())));
        assert_eq!(peers("unet_step"), ["unet_step_torch"]);
        assert_eq!(peers("unet"), ["unet", "unet_monai"]);
        assert_eq!(peers("unetx"), ["unetx"]);
        assert!(peers("import").is_empty());
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

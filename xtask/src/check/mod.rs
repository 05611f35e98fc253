//! `cargo xtask check`: what can be said about the code without running it.
//!
//! Every step runs, whatever the others found, so that one run shows everything there is to repair.

mod dependencies;
mod tidy;

use std::time::Instant;

use crate::failure::{Exit, Failure};
use crate::libtorch;
use crate::workspace::{Workspace, run as run_command};

type Step = (&'static str, fn(&Workspace) -> Result<(), Failure>);

/// The quick steps first.
const STEPS: [Step; 6] = [
    ("format", format),
    ("dependency table", dependencies::check),
    ("house rules", tidy::check),
    ("engine", engine),
    ("lints", lints),
    ("documentation", documentation),
];

/// The verb.
pub(crate) fn run(workspace: &Workspace) -> Result<(), Failure> {
    let mut failed = Vec::new();
    for (name, step) in STEPS {
        let start = Instant::now();
        let outcome = step(workspace);
        let seconds = start.elapsed().as_secs_f64();
        match outcome {
            Ok(()) => println!("check: {name}: ok ({seconds:.1} s)"),
            // Nothing that comes later can compile without the engine.
            Err(failure) if failure.exit == Exit::Environment => return Err(failure),
            Err(failure) => {
                println!("check: {name}: FAILED ({seconds:.1} s)\n{failure}");
                failed.push(name);
            }
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Finding, format!("check failed: {}", failed.join(", "))))
}

/// Joins what a step found into its failure.
fn findings(found: Vec<String>, hint: &str) -> Result<(), Failure> {
    if found.is_empty() {
        return Ok(());
    }
    Err(Failure::new(Exit::Finding, found.join("\n")).hint(hint))
}

fn format(workspace: &Workspace) -> Result<(), Failure> {
    run_command(workspace.cargo().args(["fmt", "--all", "--check"]))
        .map_err(|failure| failure.hint("`cargo fmt --all` repairs it"))
}

fn engine(workspace: &Workspace) -> Result<(), Failure> {
    libtorch::set_up(workspace, false).map(|_| ())
}

fn lints(workspace: &Workspace) -> Result<(), Failure> {
    // The release profile shares the bindings' three-minute build with tests, program and benches.
    let arguments = ["clippy", "--release", "--workspace", "--all-targets", "--", "-D", "warnings"];
    run_command(workspace.cargo().args(arguments))
}

fn documentation(workspace: &Workspace) -> Result<(), Failure> {
    let arguments = ["doc", "--release", "--workspace", "--no-deps"];
    run_command(workspace.cargo().args(arguments).env("RUSTDOCFLAGS", "-D warnings"))
}

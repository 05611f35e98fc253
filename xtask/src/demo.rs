//! `cargo xtask demo`: from a fresh checkout to a report, on a phantom cohort and the CPU.

use std::path::{Path, absolute};
use std::process::Command;

use crate::failure::Failure;
use crate::libtorch;
use crate::workspace::{Workspace, run as run_command};

/// What `synthmr demo` writes last.
const REPORT: &str = "report.html";

/// The verb.
pub(crate) fn run(workspace: &Workspace, quick: bool, dir: &Path) -> Result<(), Failure> {
    libtorch::set_up(workspace, false)?;
    run_command(workspace.cargo().args(["build", "--release", "--package", "synthmr-cli"]))?;
    let program = workspace.target_folder()?.join("release").join("synthmr");
    let dir = absolute(dir).map_err(Failure::io("resolve", dir))?;
    let mut demo = Command::new(&program);
    demo.arg("demo").arg("--out").arg(&dir).args(quick.then_some("--quick"));
    run_command(&mut demo)?;
    let report = dir.join(REPORT);
    if !report.is_file() {
        return Err(Failure::environment(format!("the demo ended without {}", report.display()))
            .hint("this is a bug: please report it with the output above"));
    }
    println!("open {}", report.display());
    Ok(())
}

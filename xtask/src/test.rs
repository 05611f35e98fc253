//! `cargo xtask test`: every test that CI runs.

use std::env;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use crate::failure::Failure;
use crate::libtorch;
use crate::workspace::{Workspace, run as run_command};

/// Where real subjects lie when nothing else is said, beside the checkout.
const REAL_DATA: &str = "../shared/data/brats2021";

/// The verb.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>) -> Result<(), Failure> {
    let engine = libtorch::set_up(workspace, false)?;
    match real_data(workspace) {
        Some(folder) => eprintln!("tests on real subjects use {}", folder.display()),
        None => eprintln!(
            "no real subjects in {REAL_DATA} nor in SYNTHMR_REAL_DATA: the tests that use them say so and skip"
        ),
    }
    // All failures of one run are worth more than the first one sooner.
    let profile = ["--release", "--workspace", "--no-fail-fast"];
    if !has_nextest(workspace) {
        let mut tests = workspace.cargo();
        return run_command(with_libraries(tests.arg("test").args(profile).args(filter), engine.libraries()));
    }
    run_command(workspace.cargo().args(["nextest", "run"]).args(profile).args(filter))?;
    let mut documentation = workspace.cargo();
    documentation.arg("test").args(profile).arg("--doc").args(filter);
    run_command(with_libraries(&mut documentation, engine.libraries()))
}

/// Tests and programs find the engine by the path that is linked into them. Examples in documentation are
/// linked by rustdoc, which knows nothing of that path.
fn with_libraries(command: &mut Command, libraries: Option<PathBuf>) -> &mut Command {
    let variable = if cfg!(target_os = "macos") { "DYLD_LIBRARY_PATH" } else { "LD_LIBRARY_PATH" };
    let users = env::var_os(variable).unwrap_or_default();
    let paths =
        libraries.into_iter().chain(env::split_paths(&users).filter(|path| !path.as_os_str().is_empty()));
    match env::join_paths(paths) {
        Ok(paths) => command.env(variable, paths),
        Err(_) => command,
    }
}

fn real_data(workspace: &Workspace) -> Option<PathBuf> {
    let own = env::var_os("SYNTHMR_REAL_DATA").filter(|value| !value.is_empty()).map(PathBuf::from);
    own.or_else(|| Some(workspace.root.join(REAL_DATA))).filter(|folder| folder.is_dir())
}

fn has_nextest(workspace: &Workspace) -> bool {
    let mut probe = workspace.cargo();
    probe.args(["nextest", "--version"]).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_engine_comes_first_among_the_library_folders() {
        let mut command = Command::new("cargo");
        with_libraries(&mut command, Some("/engine/lib".into()));
        let value = command.get_envs().next().unwrap().1.unwrap().to_owned();
        assert_eq!(env::split_paths(&value).next().unwrap(), PathBuf::from("/engine/lib"));
    }
}

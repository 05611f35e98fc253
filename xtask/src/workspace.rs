//! The checkout this runs in, and how other programs are started from it.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::failure::{Exit, Failure};

/// The link in the checkout that `.cargo/config.toml` names in LIBTORCH.
pub(crate) const ENGINE_LINK: &str = ".libtorch";

/// The root of the checkout.
#[derive(Clone, Debug)]
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
}

impl Workspace {
    /// Finds the checkout from what cargo tells the programs it runs.
    pub(crate) fn find() -> Result<Self, Failure> {
        let manifest = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).ok_or_else(|| {
            Failure::environment("CARGO_MANIFEST_DIR is not set").hint("run it as `cargo xtask`")
        })?;
        match manifest.parent() {
            Some(root) => Ok(Self { root: root.to_owned() }),
            None => Err(Failure::environment(format!("{} has no parent folder", manifest.display()))),
        }
    }

    /// `cargo` in the root of the checkout.
    ///
    /// LIBTORCH goes back to what the user's shell had: cargo puts the value of `.cargo/config.toml` there by
    /// itself, and must see the same environment here as when the user types `cargo build`, or it would
    /// compile the engine's bindings (minutes) once for each.
    pub(crate) fn cargo(&self) -> Command {
        let mut command = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        command.current_dir(&self.root);
        if env::var_os("LIBTORCH").is_some_and(|value| self.is_engine_link(&value)) {
            command.env_remove("LIBTORCH");
        }
        command
    }

    /// Whether a value of LIBTORCH is the one of `.cargo/config.toml`, not the user's.
    pub(crate) fn is_engine_link(&self, value: &OsStr) -> bool {
        let path = Path::new(value);
        let same_folder = |parent: &Path| match (parent.canonicalize(), self.root.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => parent == self.root,
        };
        path.file_name() == Some(OsStr::new(ENGINE_LINK)) && path.parent().is_some_and(same_folder)
    }

    /// What `cargo metadata` says, with the resolved dependency graph.
    pub(crate) fn metadata(&self) -> Result<Value, Failure> {
        let mut command = self.cargo();
        command.args(["metadata", "--format-version", "1"]);
        let output = command
            .stderr(Stdio::inherit())
            .output()
            .map_err(|error| Failure::environment(format!("cannot start cargo: {error}")))?;
        if !output.status.success() {
            return Err(Failure::new(Exit::Finding, "`cargo metadata` failed; see above"));
        }
        serde_json::from_slice(&output.stdout)
            .map_err(|error| Failure::environment(format!("`cargo metadata` printed no JSON: {error}")))
    }

    /// The folder that cargo builds into.
    pub(crate) fn target_folder(&self) -> Result<PathBuf, Failure> {
        match self.metadata()?["target_directory"].as_str() {
            Some(folder) => Ok(folder.into()),
            None => Err(Failure::environment("`cargo metadata` names no target_directory")),
        }
    }
}

/// The command as a person would type it, without its environment.
fn shown(command: &Command) -> String {
    let program = Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Runs a command with its output shown.
pub(crate) fn run(command: &mut Command) -> Result<(), Failure> {
    let shown = shown(command);
    eprintln!("$ {shown}");
    let status =
        command.status().map_err(|error| Failure::environment(format!("cannot start `{shown}`: {error}")))?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(Exit::Finding, format!("`{shown}` failed: {status}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_configured_engine_is_told_from_the_users() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace { root: folder.path().to_owned() };
        assert!(workspace.is_engine_link(folder.path().join(".libtorch").as_os_str()));
        assert!(workspace.is_engine_link(folder.path().join(".").join(".libtorch").as_os_str()));
        assert!(!workspace.is_engine_link(OsStr::new("/opt/libtorch")));
        assert!(!workspace.is_engine_link(OsStr::new("/opt/.libtorch")));
        assert!(!workspace.is_engine_link(OsStr::new("")));
    }

    #[test]
    fn a_command_is_shown_without_the_folder_of_its_program() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "--release"]);
        assert_eq!(shown(&command), "cargo test --release");
    }
}

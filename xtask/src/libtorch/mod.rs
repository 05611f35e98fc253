//! `cargo xtask libtorch`: the engine, pinned by hash, in a per-user cache that checkouts share.
//!
//! The wheel of torch on PyPI is a zip archive; nothing of Python in it is used. Of its 530 MB only the CPU
//! libraries and the headers are kept.

pub(crate) mod cache;
pub(crate) mod lock;
pub(crate) mod pip;
mod unpack;

use std::env;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};

use crate::failure::Failure;
use crate::workspace::{ENGINE_LINK, Workspace};

use cache::Cache;
use lock::{Lock, Variant};

/// The engine that cargo will build against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Engine {
    /// The pinned one; the folder that holds `lib/` and `include/`.
    Pinned(PathBuf),
    /// The user's own, by the variable that names it.
    Own { variable: &'static str, value: OsString },
}

impl Engine {
    /// The folder of its libraries, where it can be told without asking Python.
    pub(crate) fn libraries(&self) -> Option<PathBuf> {
        match self {
            Self::Pinned(folder) => Some(folder.join("lib")),
            Self::Own { variable: "LIBTORCH", value } => Some(Path::new(value).join("lib")),
            Self::Own { .. } => None,
        }
    }
}

/// The verb: sets up and says where.
pub(crate) fn run(workspace: &Workspace, cuda: bool) -> Result<(), Failure> {
    match set_up(workspace, cuda)? {
        Engine::Pinned(folder) => println!("libtorch: {}", folder.display()),
        Engine::Own { variable, value } => {
            println!("libtorch: {variable}={} is set, so nothing was done", value.display());
        }
    }
    Ok(())
}

/// Makes sure that there is an engine to build against, and says which. Instant when all is in place.
pub(crate) fn set_up(workspace: &Workspace, cuda: bool) -> Result<Engine, Failure> {
    let variable = |name| env::var_os(name).filter(|value| !value.is_empty());
    if let Some(own) = users_own(workspace, variable("LIBTORCH"), variable("LIBTORCH_USE_PYTORCH")) {
        return Ok(own);
    }
    let lock = Lock::read(&workspace.root)?;
    let platform = lock::this_platform()?;
    let mut folders = vec![lock.folder(&platform, Variant::Cpu)?];
    if cuda {
        folders.push(lock.folder(&platform, Variant::Cuda)?);
    }
    let cache = Cache::find()?;
    cache.fill(&lock, &folders)?;
    let engine = cache.engine_of(&lock, folders[0]);
    link(&workspace.root, &engine)?;
    if let Some(folder) = folders.get(1) {
        let cuda = cache.engine_of(&lock, folder).join("lib");
        println!("CUDA libraries: export SYNTHMR_LIBTORCH={}", cuda.display());
    }
    Ok(Engine::Pinned(engine))
}

/// The user's own engine. The LIBTORCH of `.cargo/config.toml` is ours: cargo sets it for what it runs.
fn users_own(
    workspace: &Workspace,
    libtorch: Option<OsString>,
    use_pytorch: Option<OsString>,
) -> Option<Engine> {
    // In this order, because the bindings' build script looks at LIBTORCH_USE_PYTORCH first.
    if let Some(value) = use_pytorch {
        return Some(Engine::Own { variable: "LIBTORCH_USE_PYTORCH", value });
    }
    let value = libtorch.filter(|value| !workspace.is_engine_link(value))?;
    Some(Engine::Own { variable: "LIBTORCH", value })
}

/// Points `.libtorch` in the checkout at the engine, by a rename, so that a build beside us never sees it gone.
fn link(root: &Path, engine: &Path) -> Result<(), Failure> {
    let link = root.join(ENGINE_LINK);
    match fs::symlink_metadata(&link) {
        Ok(found) if !found.is_symlink() => {
            return Err(Failure::environment(format!(
                "{}: expected a link, found a file or folder",
                link.display()
            ))
            .hint("move it away; an engine of your own is named in LIBTORCH instead"));
        }
        Ok(_) => {
            let target = fs::read_link(&link).map_err(Failure::io("read", &link))?;
            if target == engine {
                return Ok(());
            }
            eprintln!("{ENGINE_LINK} pointed to {}; now to {}", target.display(), engine.display());
        }
        Err(_) => {}
    }
    let temporary = root.join(format!("{ENGINE_LINK}-{}", std::process::id()));
    std::os::unix::fs::symlink(engine, &temporary).map_err(Failure::io("link", &temporary))?;
    fs::rename(&temporary, &link).map_err(Failure::io("link", &link))
}

/// Bytes as lower-case hex digits.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Whether a name is one of our temporary folders in the cache.
fn is_temporary(name: &OsStr) -> bool {
    name.to_string_lossy().starts_with(cache::TEMPORARY)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_engine_wins_and_ours_is_not_taken_for_it() {
        let folder = tempfile::tempdir().unwrap();
        let workspace = Workspace { root: folder.path().to_owned() };
        let ours = Some(folder.path().join(ENGINE_LINK).into_os_string());
        assert_eq!(users_own(&workspace, None, None), None);
        assert_eq!(users_own(&workspace, ours.clone(), None), None);
        let own = users_own(&workspace, Some("/opt/libtorch".into()), None).unwrap();
        assert_eq!(own.libraries(), Some("/opt/libtorch/lib".into()));
        let python = users_own(&workspace, ours, Some("1".into())).unwrap();
        assert_eq!(python.libraries(), None);
    }

    #[test]
    fn the_link_is_made_moved_and_kept() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        for engine in ["a", "b", "b"] {
            link(folder.path(), &at(engine)).unwrap();
            assert_eq!(fs::read_link(at(ENGINE_LINK)).unwrap(), at(engine));
        }
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary link stays");
    }

    #[test]
    fn a_folder_in_the_links_place_is_not_touched() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join(ENGINE_LINK)).unwrap();
        let text = link(folder.path(), Path::new("/engine")).unwrap_err().to_string();
        assert!(text.contains("expected a link, found a file or folder"), "{text}");
    }
}

//! `libtorch.lock.toml`: which wheels make the engine of which platform.

use std::path::{Component, Path};

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::hex;
use crate::failure::Failure;

/// The file's name in the root of the checkout.
pub(crate) const FILE: &str = "libtorch.lock.toml";

/// The only schema there has been.
const SCHEMA: u32 = 1;

/// The whole lock file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Lock {
    pub(crate) schema: u32,
    /// Release of torch.
    pub(crate) torch: String,
    /// Python version and ABI that select the torch wheel. Fixed, so that the user's own version does not
    /// matter: no Python code of the wheel is ever run.
    pub(crate) pip_python: String,
    pub(crate) pip_abi: String,
    #[serde(rename = "folder")]
    pub(crate) folders: Vec<Folder>,
}

/// One folder in the cache: a variant of the engine for a platform.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Folder {
    /// `OS-ARCHITECTURE`, as Rust names them.
    pub(crate) platform: String,
    pub(crate) variant: Variant,
    /// The part of the folder that holds `lib/`.
    pub(crate) engine: String,
    /// What the files take on the disk, for the check of free space.
    pub(crate) unpacked_bytes: u64,
    /// Text files of ours: (path, content).
    pub(crate) make: Vec<(String, String)>,
    #[serde(rename = "wheel")]
    pub(crate) wheels: Vec<Wheel>,
}

/// Which libraries a folder holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Variant {
    /// What programs are built and linked against.
    Cpu,
    /// The CUDA libraries, opened at run time.
    Cuda,
}

impl Variant {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        }
    }
}

/// One wheel and what is kept of it.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wheel {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) file: String,
    pub(crate) pip_platform: String,
    pub(crate) bytes: u64,
    pub(crate) sha256: String,
    /// (member or `prefix/`, place in the folder).
    pub(crate) take: Vec<(String, String)>,
}

impl Lock {
    /// Reads the lock file of a checkout.
    pub(crate) fn read(root: &Path) -> Result<Self, Failure> {
        let path = root.join(FILE);
        let text = std::fs::read_to_string(&path).map_err(Failure::io("read", &path))?;
        Self::parse(&text)
    }

    /// Parses and checks the lock file's text.
    pub(crate) fn parse(text: &str) -> Result<Self, Failure> {
        let lock: Self =
            toml::from_str(text).map_err(|error| Failure::environment(format!("{FILE}: {error}")))?;
        if lock.schema != SCHEMA {
            return Err(Failure::environment(format!(
                "{FILE}: expected schema {SCHEMA}, found {}",
                lock.schema
            )));
        }
        for wheel in lock.folders.iter().flat_map(|folder| &folder.wheels) {
            check_wheel(wheel)
                .map_err(|why| Failure::environment(format!("{FILE}: {}: {why}", wheel.file)))?;
        }
        for (path, _) in lock.folders.iter().flat_map(|folder| &folder.make) {
            if !stays_inside(path) {
                return Err(Failure::environment(format!("{FILE}: `{path}` leaves the folder")));
            }
        }
        Ok(lock)
    }

    /// The folder of a platform and variant.
    pub(crate) fn folder(&self, platform: &str, variant: Variant) -> Result<&Folder, Failure> {
        let same_variant = || self.folders.iter().filter(|folder| folder.variant == variant);
        same_variant().find(|folder| folder.platform == platform).ok_or_else(|| {
            let known: Vec<_> = same_variant().map(|folder| folder.platform.as_str()).collect();
            Failure::environment(format!(
                "no {} engine is pinned for {platform}, only for {}",
                variant.name(),
                known.join(", ")
            ))
            .hint(format!(
                "install libtorch {} for this machine yourself and name its folder in LIBTORCH",
                self.torch
            ))
        })
    }
}

fn check_wheel(wheel: &Wheel) -> Result<(), String> {
    if wheel.sha256.len() != 64 || !wheel.sha256.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
        return Err(format!("expected a SHA-256 of 64 lower-case hex digits, found `{}`", wheel.sha256));
    }
    if !wheel.file.ends_with(".whl") || wheel.file.contains('/') {
        return Err("expected the file name of a wheel".to_owned());
    }
    for (from, to) in &wheel.take {
        if from.ends_with('/') != to.ends_with('/') {
            return Err(format!("`{from}` and `{to}` must both end with a slash or both not"));
        }
        if !stays_inside(to) {
            return Err(format!("`{to}` leaves the folder"));
        }
    }
    Ok(())
}

/// Whether a relative path has nothing in it but names.
pub(crate) fn stays_inside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

impl Folder {
    /// The folder's name in the cache. It holds a digest of all that decides its content, so that checkouts
    /// with different lock files share a cache without undoing each other's set-up.
    pub(crate) fn name(&self, torch: &str) -> String {
        let mut hash = Sha256::new();
        let mut field = |text: &str| {
            hash.update(text.as_bytes());
            hash.update([0]);
        };
        for wheel in &self.wheels {
            field(&wheel.sha256);
            for (from, to) in &wheel.take {
                field(from);
                field(to);
            }
        }
        for (path, content) in &self.make {
            field(path);
            field(content);
        }
        let digest = hex(&hash.finalize());
        format!("libtorch-{torch}-{}-{}-{}", self.variant.name(), self.platform, &digest[..8])
    }
}

/// This machine, as the lock file names it.
///
/// # Errors
/// The wheels need glibc: a musl build of this very program says that the machine has none.
pub(crate) fn this_platform() -> Result<String, Failure> {
    let platform = format!("{}-{}", std::env::consts::OS, std::env::consts::ARCH);
    if cfg!(target_env = "musl") {
        return Err(Failure::environment(format!("expected a glibc system, found {platform} with musl"))
            .hint(
                "libtorch's wheels need glibc 2.28 or newer: use a container of Debian, Ubuntu or Fedora",
            ));
    }
    Ok(platform)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn repository_lock() -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(FILE);
        std::fs::read_to_string(path).unwrap()
    }

    #[test]
    fn the_lock_file_of_the_repository_parses() {
        let lock = Lock::parse(&repository_lock()).unwrap();
        for platform in ["linux-x86_64", "linux-aarch64", "macos-aarch64"] {
            let folder = lock.folder(platform, Variant::Cpu).unwrap();
            assert_eq!(folder.wheels[0].package, "torch");
            assert_eq!(folder.wheels[0].version, lock.torch);
        }
        assert!(lock.folder("linux-x86_64", Variant::Cuda).unwrap().wheels.len() > 10);
    }

    #[test]
    fn a_wheel_has_one_hash_wherever_it_is_named() {
        let lock = Lock::parse(&repository_lock()).unwrap();
        let wheels: Vec<_> = lock.folders.iter().flat_map(|folder| &folder.wheels).collect();
        for a in &wheels {
            for b in &wheels {
                assert_eq!(a.file == b.file, a.sha256 == b.sha256, "{} and {}", a.file, b.file);
            }
        }
    }

    #[test]
    fn an_unknown_platform_is_named_beside_the_known_ones() {
        let lock = Lock::parse(&repository_lock()).unwrap();
        let text = lock.folder("windows-x86_64", Variant::Cpu).unwrap_err().to_string();
        assert!(
            text.contains("windows-x86_64, only for linux-x86_64, linux-aarch64, macos-aarch64"),
            "{text}"
        );
        assert!(text.contains("hint: "), "{text}");
        assert!(lock.folder("macos-aarch64", Variant::Cuda).is_err());
    }

    #[test]
    fn a_change_of_content_changes_the_name_in_the_cache() {
        let lock = Lock::parse(&repository_lock()).unwrap();
        let folder = lock.folder("linux-x86_64", Variant::Cpu).unwrap();
        let name = folder.name(&lock.torch);
        assert!(name.starts_with("libtorch-2.11.0-cpu-linux-x86_64-"), "{name}");
        let mut other = folder.clone();
        other.make.clear();
        assert_ne!(name, other.name(&lock.torch));
    }

    #[test]
    fn rejects_a_damaged_lock_file() {
        let good = repository_lock();
        let cases = [
            (good.replacen("schema = 1", "schema = 2", 1), "expected schema 1, found 2"),
            (good.replacen("sha256 = \"7", "sha256 = \"X", 1), "64 lower-case hex digits"),
            (good.replacen("\"include/\"", "\"../include/\"", 1), "leaves the folder"),
            (good.replacen("\"include/\"", "\"include\"", 1), "must both end with a slash"),
            (good.replacen("torch = ", "tprch = ", 1), "tprch"),
        ];
        for (text, expected) in cases {
            let found = Lock::parse(&text).unwrap_err().to_string();
            assert!(found.contains(expected), "expected `{expected}` in `{found}`");
        }
    }
}

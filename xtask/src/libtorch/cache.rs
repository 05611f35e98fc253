//! The per-user cache: a folder per engine, complete or absent.
//!
//! A folder is put together under a temporary name beside its place and renamed into it. A lock keeps two
//! set-ups from downloading the same; where the file system has no locks, the rename alone keeps them apart.
//! A list of all files with their sizes is written last and compared at every use.

use std::collections::BTreeMap;
use std::env;
use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::lock::{Folder, Lock, Wheel};
use super::pip::Source;
use super::{is_temporary, unpack};
use crate::failure::Failure;

/// How the names of unfinished folders begin.
pub(crate) const TEMPORARY: &str = ".unfinished-libtorch-";

/// The list of a folder's files.
const LISTING: &str = "files.json";

/// What one file system block may waste on each of the ten thousand headers, in total.
const SLACK_BYTES: u64 = 100 << 20;

#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Listing {
    /// Path -> size in bytes.
    files: BTreeMap<String, u64>,
}

/// The folder that holds the engines.
#[derive(Clone, Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
}

impl Cache {
    /// `SYNTHMR_CACHE`, else `synthmr` in the user's cache folder.
    pub(crate) fn find() -> Result<Self, Failure> {
        let variable = |name| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = choose(variable("SYNTHMR_CACHE"), variable("XDG_CACHE_HOME"), variable("HOME"))?;
        let folder = std::path::absolute(&folder).map_err(Failure::io("resolve", &folder))?;
        Ok(Self { folder })
    }

    /// A file of the cache that is no engine's.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn place(&self, lock: &Lock, folder: &Folder) -> PathBuf {
        self.folder.join(folder.name(&lock.torch))
    }

    /// The folder that LIBTORCH should name.
    pub(crate) fn engine_of(&self, lock: &Lock, folder: &Folder) -> PathBuf {
        let place = self.place(lock, folder);
        if folder.engine == "." { place } else { place.join(&folder.engine) }
    }

    /// Brings every folder that is missing or damaged.
    pub(crate) fn fill(&self, lock: &Lock, folders: &[&Folder]) -> Result<(), Failure> {
        if self.missing(lock, folders).is_empty() {
            return Ok(());
        }
        fs::create_dir_all(&self.folder).map_err(Failure::io("create", &self.folder))?;
        let _turn = self.wait_for_turn()?;
        // Another process may have done it while we waited.
        let missing = self.missing(lock, folders);
        if missing.is_empty() {
            return Ok(());
        }
        self.remove_unfinished()?;
        let source = Source::find()?;
        self.check_space(&missing, &source)?;
        let scratch = tempfile::Builder::new()
            .prefix(TEMPORARY)
            .tempdir_in(&self.folder)
            .map_err(Failure::io("create a folder in", &self.folder))?;
        self.build(lock, &missing, &source, scratch.path())
    }

    fn missing<'a>(&self, lock: &Lock, folders: &[&'a Folder]) -> Vec<&'a Folder> {
        folders.iter().copied().filter(|folder| !is_complete(&self.place(lock, folder))).collect()
    }

    fn wait_for_turn(&self) -> Result<Option<File>, Failure> {
        let path = self.folder.join(".lock");
        let file = File::create(&path).map_err(Failure::io("write", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => {
                eprintln!("waiting for another set-up that uses {}", self.folder.display());
                file.lock().map_err(Failure::io("lock", &path))?;
                Ok(Some(file))
            }
            // Some network file systems have no locks: see the rename in `put_in_place`.
            Err(TryLockError::Error(_)) => Ok(None),
        }
    }

    /// Removes what killed set-ups left; while we hold the lock, no unfinished folder is anyone's.
    fn remove_unfinished(&self) -> Result<(), Failure> {
        let entries = fs::read_dir(&self.folder).map_err(Failure::io("read", &self.folder))?;
        for entry in entries.flatten().filter(|entry| is_temporary(&entry.file_name())) {
            fs::remove_dir_all(entry.path()).map_err(Failure::io("remove", &entry.path()))?;
        }
        Ok(())
    }

    fn check_space(&self, missing: &[&Folder], source: &Source) -> Result<(), Failure> {
        let statistics = rustix::fs::statvfs(&self.folder)
            .map_err(|error| Failure::io("ask for the free space of", &self.folder)(error.into()))?;
        let free = statistics.f_bavail * statistics.f_frsize;
        let needed = space_needed(missing, matches!(source, Source::Pip { .. }));
        if free >= needed {
            return Ok(());
        }
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        Err(Failure::environment(format!(
            "{}: expected {:.1} GB of free disk space for the engine, found {:.1} GB",
            self.folder.display(),
            gigabytes(needed),
            gigabytes(free)
        ))
        .hint("free some space, or name a folder on another disk in SYNTHMR_CACHE"))
    }

    fn build(
        &self,
        lock: &Lock,
        missing: &[&Folder],
        source: &Source,
        scratch: &Path,
    ) -> Result<(), Failure> {
        let staged = |folder: &Folder| scratch.join(folder.variant.name());
        let wheels = distinct_wheels(missing);
        for (index, wheel) in wheels.iter().enumerate() {
            let size = wheel.bytes as f64 / 1e6;
            eprintln!("libtorch {}/{}: {} ({size:.1} MB)", index + 1, wheels.len(), wheel.file);
            let download = scratch.join("download");
            fs::create_dir(&download).map_err(Failure::io("create", &download))?;
            let path = source.fetch(lock, wheel, &download)?;
            for folder in missing {
                // The same wheel may serve two folders, which take different parts of it.
                for part in folder.wheels.iter().filter(|part| part.sha256 == wheel.sha256) {
                    unpack::unpack(&path, part, &staged(folder))?;
                }
            }
            fs::remove_dir_all(&download).map_err(Failure::io("remove", &download))?;
        }
        for folder in missing {
            finish(lock, folder, &staged(folder))?;
            put_in_place(&staged(folder), &self.place(lock, folder), scratch)?;
        }
        Ok(())
    }
}

fn choose(own: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>) -> Result<PathBuf, Failure> {
    // The XDG specification says to ignore a relative path.
    let xdg = xdg.filter(|path| path.is_absolute()).map(|path| path.join("synthmr"));
    own.or(xdg).or_else(|| home.map(|path| path.join(".cache").join("synthmr"))).ok_or_else(|| {
        Failure::environment("neither SYNTHMR_CACHE nor HOME is set, so there is no place for the engine")
            .hint("name a folder in SYNTHMR_CACHE")
    })
}

fn distinct_wheels<'a>(folders: &[&'a Folder]) -> Vec<&'a Wheel> {
    let mut wheels: Vec<&Wheel> = Vec::new();
    for wheel in folders.iter().flat_map(|folder| &folder.wheels) {
        if !wheels.iter().any(|known| known.sha256 == wheel.sha256) {
            wheels.push(wheel);
        }
    }
    wheels
}

/// All that is unpacked, and the largest wheel, twice: pip downloads to one place and copies to another.
fn space_needed(folders: &[&Folder], downloads: bool) -> u64 {
    let unpacked: u64 = folders.iter().map(|folder| folder.unpacked_bytes + SLACK_BYTES).sum();
    let largest = distinct_wheels(folders).iter().map(|wheel| wheel.bytes).max().unwrap_or(0);
    if downloads { unpacked + 2 * largest } else { unpacked }
}

/// Adds our own files, and last of all the listing.
fn finish(lock: &Lock, folder: &Folder, staged: &Path) -> Result<(), Failure> {
    for (name, content) in &folder.make {
        let path = staged.join(name);
        fs::write(&path, content).map_err(Failure::io("write", &path))?;
    }
    // The bindings' build script compares this with the release that it was made for.
    let version = staged.join(&folder.engine).join("build-version");
    fs::write(&version, format!("{}\n", lock.torch)).map_err(Failure::io("write", &version))?;
    let mut listing = Listing::default();
    list(staged, staged, &mut listing)?;
    let path = staged.join(LISTING);
    let text = serde_json::to_string(&listing)
        .map_err(|error| Failure::environment(format!("cannot write {}: {error}", path.display())))?;
    let file = File::create(&path).map_err(Failure::io("write", &path))?;
    std::io::Write::write_all(&mut &file, text.as_bytes()).map_err(Failure::io("write", &path))?;
    file.sync_all().map_err(Failure::io("sync", &path))
}

fn list(root: &Path, folder: &Path, listing: &mut Listing) -> Result<(), Failure> {
    for entry in fs::read_dir(folder).map_err(Failure::io("read", folder))? {
        let entry = entry.map_err(Failure::io("read", folder))?;
        let path = entry.path();
        let metadata = entry.metadata().map_err(Failure::io("read", &path))?;
        if metadata.is_dir() {
            list(root, &path, listing)?;
        } else if let Ok(relative) = path.strip_prefix(root) {
            listing.files.insert(relative.display().to_string(), metadata.len());
        }
    }
    Ok(())
}

/// Whether a folder holds all that its listing names, with the same sizes.
fn is_complete(place: &Path) -> bool {
    let Ok(text) = fs::read_to_string(place.join(LISTING)) else { return false };
    let Ok(listing) = serde_json::from_str::<Listing>(&text) else { return false };
    let intact =
        |(name, bytes): (&String, &u64)| fs::metadata(place.join(name)).is_ok_and(|m| m.len() == *bytes);
    !listing.files.is_empty() && listing.files.iter().all(intact)
}

/// Renames a finished folder to its place. A damaged one in its way is moved aside and goes with `scratch`; a
/// complete one is another process's work and stays.
fn put_in_place(staged: &Path, place: &Path, scratch: &Path) -> Result<(), Failure> {
    if place.exists() && !is_complete(place) {
        eprintln!("{} was damaged; it is replaced", place.display());
        let aside = scratch.join(format!("damaged-{}", place.file_name().unwrap_or_default().display()));
        fs::rename(place, &aside).map_err(Failure::io("move away", place))?;
    }
    match fs::rename(staged, place) {
        Err(_) if is_complete(place) => Ok(()),
        other => other.map_err(Failure::io("create", place)),
    }
}

#[cfg(test)]
mod tests;

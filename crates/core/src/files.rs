//! The one way to write. Every file or folder that synthmr makes is absent, old, or complete.
//!
//! [`write()`] writes a temporary file beside the target, syncs it, renames it over the target and syncs the
//! folder: after a crash of the program the target is the old or the new file; after a power loss too, as
//! far as the disk honours fsync. [`FolderWriter`] does the same for a folder of files.

mod read;

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

pub use read::{name_of, read_json, read_record, read_text};

/// What went wrong with a file, and with which.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb: `read`, `write`, `rename`.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
    /// A document is not what was expected.
    #[error("{path}: {message}")]
    Document {
        /// The file.
        path: PathBuf,
        /// What was expected and found.
        message: String,
    },
    /// A record was written by another version.
    #[error("{path}: expected schema {known}, found {found}\nhint: use the version of synthmr that wrote it")]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema that this version reads.
        known: u32,
        /// The schema in the file, or `none`.
        found: String,
    },
    /// The target exists and would be overwritten.
    #[error("{path} exists already\nhint: choose another name, or remove it first")]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// Another process works in this folder.
    #[error("{path} is in use by another synthmr process\nhint: wait for it, or stop it")]
    InUse {
        /// The locked folder.
        path: PathBuf,
    },
}

/// Turns an I/O error into a [`FileError`] that names what was tried and where.
pub fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FileError + 'a {
    move |source| FileError::Io { action, path: path.to_owned(), source }
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes a rename durable. Some file systems refuse to open or sync folders; they order renames themselves.
fn sync_folder(folder: &Path) -> Result<(), FileError> {
    match File::open(folder).and_then(|f| f.sync_all()) {
        Err(e) if e.raw_os_error() == Some(5) => Err(at("sync", folder)(e)),
        _ => Ok(()),
    }
}

fn io_error(e: FileError) -> io::Error {
    match e {
        FileError::Io { source, .. } => source,
        other => io::Error::other(other),
    }
}

/// Who may read a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// As the user's umask says.
    Shared,
    /// The owner only (mode 0600).
    Private,
}

/// Writes a file through `fill`: the target is replaced only when all of it is on disk.
///
/// # Errors
/// [`FileError::Io`] with the target's path; the target is then untouched and no temporary file stays.
pub fn write_with(
    path: &Path,
    access: Access,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FileError> {
    let parent = parent_of(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".tmp-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = if access == Access::Private { 0o600 } else { 0o666 };
        builder.permissions(fs::Permissions::from_mode(mode));
    }
    let temporary = builder.tempfile_in(parent).map_err(at("create a file in", parent))?;
    let mut buffered = BufWriter::with_capacity(1 << 20, temporary);
    fill(&mut buffered).map_err(at("write", path))?;
    let temporary = buffered.into_inner().map_err(|e| at("write", path)(e.into_error()))?;
    temporary.as_file().sync_all().map_err(at("sync", path))?;
    temporary.persist(path).map_err(|e| at("rename a finished file to", path)(e.error))?;
    sync_folder(parent)
}

/// Writes bytes to a file, atomically. See [`write_with`].
///
/// # Errors
/// As [`write_with`].
pub fn write(path: &Path, bytes: &[u8]) -> Result<(), FileError> {
    write_with(path, Access::Shared, |w| w.write_all(bytes))
}

/// Writes a record as indented JSON with a final newline, atomically.
///
/// # Errors
/// As [`write_with`].
pub fn write_json<T: Serialize>(path: &Path, record: &T) -> Result<(), FileError> {
    write_with(path, Access::Shared, |w| {
        serde_json::to_writer_pretty(&mut *w, record)?;
        w.write_all(b"\n")
    })
}

/// Checks that a file can be written to `path`, by writing and removing an empty one beside it: what takes hours should not
/// end with a folder that is not there. An existing file is left alone.
///
/// # Errors
/// [`FileError::Io`] when `path` is a folder, or files cannot be created beside it.
pub fn check_target(path: &Path) -> Result<(), FileError> {
    if path.is_dir() {
        return Err(at("write", path)(io::ErrorKind::IsADirectory.into()));
    }
    let parent = parent_of(path);
    tempfile::Builder::new().prefix(".tmp-").tempfile_in(parent).map_err(at("create a file in", parent))?;
    Ok(())
}

/// Creates a folder and its parents.
///
/// # Errors
/// [`FileError::Io`] with the folder's path.
pub fn create_folder(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).map_err(at("create the folder", path))
}

/// The file inside a [`FolderWriter`]'s temporary folder that its process holds locked.
const ALIVE: &str = ".alive";

/// Bytes of the target's name that its temporary folder carries; file systems allow 255 for the whole name.
const TEMPORARY_NAME_BYTES: usize = 200;

/// A temporary folder without [`ALIVE`] is between two system calls of its process, or its process is dead.
/// After this long it is dead.
const SETTLED: Duration = Duration::from_secs(600);

/// A folder that appears under its name only when complete. Files are made under a temporary name beside
/// it; [`FolderWriter::commit`] renames it. Dropped without commit, nothing stays; what a killed process left
/// is removed when the same target is begun again.
#[derive(Debug)]
pub struct FolderWriter {
    target: PathBuf,
    /// Held as long as the temporary folder is in use. Closed before the folder is removed: Windows asks for it.
    alive: File,
    temporary: tempfile::TempDir,
}

impl FolderWriter {
    /// Begins a folder that will be named `target`. Who may read it is what the user's umask says.
    ///
    /// # Errors
    /// [`FileError::Exists`] when the target is there already, [`FileError::Io`] when it cannot be made.
    pub fn create(target: &Path) -> Result<Self, FileError> {
        if fs::symlink_metadata(target).is_ok() {
            return Err(FileError::Exists { path: target.to_owned() });
        }
        let parent = parent_of(target);
        create_folder(parent)?;
        let prefix = temporary_prefix(target);
        remove_leftovers(parent, &prefix);
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            // What mkdir(1) asks for; the system takes the umask's bits away. tempfile alone asks for 0700.
            builder.permissions(fs::Permissions::from_mode(0o777));
        }
        let temporary = builder.tempdir_in(parent).map_err(at("create a folder in", parent))?;
        let alive = lock_alive(temporary.path(), target)?;
        Ok(Self { target: target.to_owned(), alive, temporary })
    }

    /// Where the files go until the commit.
    pub fn path(&self) -> &Path {
        self.temporary.path()
    }

    /// Creates a file inside, written once from start to end. Call [`FolderFile::finish`] when done.
    ///
    /// # Errors
    /// [`FileError::Io`] with the path it will have.
    pub fn file(&self, name: &str) -> Result<FolderFile, FileError> {
        let path = self.target.join(name);
        let inner = OpenOptions::new()
            .write(true)
            .create_new(true)
            .open(self.path().join(name))
            .map_err(at("create", &path))?;
        Ok(FolderFile { path, inner: BufWriter::with_capacity(1 << 20, inner) })
    }

    /// Gives the folder its name. All files must be finished.
    ///
    /// # Errors
    /// [`FileError::Exists`] when somebody made the target meanwhile, [`FileError::Io`] otherwise.
    pub fn commit(self) -> Result<(), FileError> {
        let Self { target, alive, temporary } = self;
        if fs::symlink_metadata(&target).is_ok() {
            return Err(FileError::Exists { path: target });
        }
        drop(alive);
        let marker = temporary.path().join(ALIVE);
        fs::remove_file(&marker).map_err(at("remove", &marker))?;
        sync_folder(temporary.path())?;
        fs::rename(temporary.path(), &target).map_err(at("rename a finished folder to", &target))?;
        // The folder has moved: there is nothing left under the temporary name to clean up.
        let _moved = temporary.keep();
        sync_folder(parent_of(&target))
    }
}

/// `.tmp-NAME-`, which random letters and digits follow.
fn temporary_prefix(target: &Path) -> String {
    let name = target.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
    format!(".tmp-{}-", &name[..name.floor_char_boundary(TEMPORARY_NAME_BYTES)])
}

fn lock_alive(folder: &Path, target: &Path) -> Result<File, FileError> {
    let path = folder.join(ALIVE);
    let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(at("create", &path))?;
    match file.try_lock() {
        // On a file system without locks nobody can take it for a leftover either.
        Ok(()) | Err(TryLockError::Error(_)) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(FileError::InUse { path: target.to_owned() }),
    }
}

/// Removes the temporary folders that killed processes left behind for one target. What cannot be removed
/// stays: it hinders nobody.
fn remove_leftovers(parent: &Path, prefix: &str) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let suffix = name.to_str().and_then(|name| name.strip_prefix(prefix));
        // Other targets may begin with this one's name and a hyphen; their temporary names have two more.
        let ours = suffix.is_some_and(|s| !s.is_empty() && s.bytes().all(|b| b.is_ascii_alphanumeric()));
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if ours && is_folder && is_leftover(&entry.path()) {
            let _stays_when_refused = fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether no living process writes this temporary folder. When in doubt (somebody else's folder, a file
/// system without locks) one does.
fn is_leftover(folder: &Path) -> bool {
    match OpenOptions::new().write(true).open(folder.join(ALIVE)) {
        Ok(alive) => alive.try_lock().is_ok(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::metadata(folder)
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|changed| changed.elapsed().is_ok_and(|age| age > SETTLED)),
        Err(_) => false,
    }
}

/// A file inside a [`FolderWriter`].
#[derive(Debug)]
pub struct FolderFile {
    path: PathBuf,
    inner: BufWriter<File>,
}

impl FolderFile {
    /// Makes the content durable.
    ///
    /// # Errors
    /// [`FileError::Io`] with the final path.
    pub fn finish(self) -> Result<(), FileError> {
        let file = self.inner.into_inner().map_err(|e| at("write", &self.path)(e.into_error()))?;
        file.sync_all().map_err(at("sync", &self.path))
    }

    /// Writes all of `bytes`.
    ///
    /// # Errors
    /// [`FileError::Io`] with the final path.
    pub fn put(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.inner.write_all(bytes).map_err(at("write", &self.path))
    }
}

/// A log that grows by whole lines, such as `events.jsonl`. A torn last line (kill, power loss) is dropped
/// when the log is opened again.
#[derive(Debug)]
pub struct AppendLog {
    path: PathBuf,
    file: File,
}

impl AppendLog {
    /// Opens or creates the log and keeps the longest prefix of which `keep` accepts every record;
    /// for `events.jsonl` these are the ticks before the checkpoint that training resumes from.
    ///
    /// # Errors
    /// [`FileError::Io`] with the log's path.
    pub fn open_keeping(path: &Path, prefix: impl FnOnce(&[u8]) -> usize) -> Result<Self, FileError> {
        let mut options = OpenOptions::new();
        let mut file = options
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(path)
            .map_err(at("open", path))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(at("read", path))?;
        let kept = prefix(&bytes).min(bytes.len());
        file.set_len(kept as u64).map_err(at("truncate", path))?;
        io::Seek::seek(&mut file, io::SeekFrom::Start(kept as u64)).map_err(at("seek in", path))?;
        Ok(Self { path: path.to_owned(), file })
    }

    /// Appends bytes with a single write.
    ///
    /// # Errors
    /// [`FileError::Io`] with the log's path.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        self.file.write_all(bytes).map_err(at("append to", &self.path))
    }
}

/// The length of the longest prefix of whole lines that `keep` accepts, for [`AppendLog::open_keeping`].
pub fn line_prefix(bytes: &[u8], mut keep: impl FnMut(&str) -> bool) -> usize {
    let mut kept = 0;
    for line in bytes.split_inclusive(|&b| b == b'\n') {
        let whole = line.ends_with(b"\n");
        if !whole || !std::str::from_utf8(line).is_ok_and(&mut keep) {
            break;
        }
        kept += line.len();
    }
    kept
}

/// The right to write into a run folder, held by the operating system: a killed process frees it.
#[derive(Debug)]
pub struct FolderLock {
    _file: File,
}

impl FolderLock {
    /// Takes the lock of a folder that exists.
    ///
    /// # Errors
    /// [`FileError::InUse`] when another process holds it.
    pub fn take(folder: &Path) -> Result<Self, FileError> {
        let path = folder.join(".lock");
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(at("open", &path))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _file: file }),
            Err(TryLockError::WouldBlock) => Err(FileError::InUse { path: folder.to_owned() }),
            Err(TryLockError::Error(e)) => Err(at("lock", &path)(e)),
        }
    }
}

impl From<FileError> for io::Error {
    fn from(e: FileError) -> io::Error {
        io_error(e)
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("record.json");
        write(&path, b"old").unwrap();
        let error = write_with(&path, Access::Shared, |w| {
            w.write_all(b"half of the new")?;
            Err(io::Error::other("disk full"))
        })
        .unwrap_err();
        assert!(error.to_string().contains("record.json"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["record.json"]);
    }

    #[cfg(unix)]
    #[test]
    fn private_files_are_for_the_owner_only() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("private.html");
        write_with(&path, Access::Private, |w| w.write_all(b"x")).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[test]
    fn a_folder_appears_complete_or_not_at_all() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("x.store");
        let writer = FolderWriter::create(&target).unwrap();
        let mut file = writer.file("a").unwrap();
        file.put(b"content").unwrap();
        file.finish().unwrap();
        assert!(!target.exists());
        drop(writer);
        assert!(names(parent.path()).is_empty());

        let writer = FolderWriter::create(&target).unwrap();
        writer.file("a").unwrap().finish().unwrap();
        writer.commit().unwrap();
        assert_eq!(names(&target), ["a"]);
        assert!(matches!(FolderWriter::create(&target), Err(FileError::Exists { .. })));
    }

    #[cfg(unix)]
    #[test]
    fn a_folder_is_readable_as_the_umask_says_whatever_its_parent_is() {
        use std::os::unix::fs::PermissionsExt;
        let parent = tempfile::tempdir().unwrap();
        fs::set_permissions(parent.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let mode = |name: &str| fs::metadata(parent.path().join(name)).unwrap().permissions().mode() & 0o7777;
        fs::create_dir(parent.path().join("plain")).unwrap();
        FolderWriter::create(&parent.path().join("x.store")).unwrap().commit().unwrap();
        assert_eq!(mode("x.store"), mode("plain"));
    }

    #[test]
    fn leftovers_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("x.store");
        let leave = |name: &str| {
            let folder = parent.path().join(name);
            fs::create_dir(&folder).unwrap();
            fs::write(folder.join("subjects.private.json"), "a patient").unwrap();
            fs::write(folder.join(ALIVE), "").unwrap();
            folder
        };
        let dead = leave(".tmp-x.store-aB3dE6");
        let of_another = leave(".tmp-x.store-2-aB3dE6");
        // Between the creation of a folder and that of its lock.
        let newborn = parent.path().join(".tmp-x.store-newbrn");
        fs::create_dir(&newborn).unwrap();
        let living = FolderWriter::create(&target).unwrap();
        assert!(!dead.exists() && of_another.exists() && newborn.exists());
        // A process that died between the removal of its lock and the rename.
        File::open(&newborn).unwrap().set_modified(SystemTime::now() - 2 * SETTLED).unwrap();
        let second = FolderWriter::create(&target).unwrap();
        assert!(living.path().exists() && second.path().exists() && !newborn.exists());
        second.commit().unwrap();
        assert!(matches!(living.commit(), Err(FileError::Exists { .. })));
        assert_eq!(names(parent.path()), [".tmp-x.store-2-aB3dE6", "x.store"]);
        assert!(names(&target).is_empty());
    }

    #[test]
    fn a_long_name_still_has_a_temporary_one() {
        let parent = tempfile::tempdir().unwrap();
        let target = parent.path().join("ä".repeat(125));
        FolderWriter::create(&target).unwrap().commit().unwrap();
        assert!(target.is_dir());
    }

    #[test]
    fn a_torn_last_line_is_dropped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("events.jsonl");
        fs::write(&path, "one\ntwo\nthr").unwrap();
        let mut log = AppendLog::open_keeping(&path, |bytes| line_prefix(bytes, |_| true)).unwrap();
        log.append(b"three\n").unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\ntwo\nthree\n");
        drop(log);
        AppendLog::open_keeping(&path, |bytes| line_prefix(bytes, |line| !line.starts_with("two"))).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "one\n");
    }

    #[test]
    fn a_second_writer_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let first = FolderLock::take(folder.path()).unwrap();
        assert!(matches!(FolderLock::take(folder.path()), Err(FileError::InUse { .. })));
        drop(first);
        FolderLock::take(folder.path()).unwrap();
    }

    #[test]
    fn rejects_documents_over_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("huge.json");
        File::create(&path).unwrap().set_len(crate::limits::DOCUMENT_BYTES + 1).unwrap();
        assert!(matches!(read_text(&path), Err(FileError::Document { .. })));
    }

    #[test]
    fn a_json_error_names_file_and_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("broken.json");
        fs::write(&path, "{\n  \"a\": }").unwrap();
        let message = read_json::<serde_json::Value>(&path).unwrap_err().to_string();
        assert!(message.contains("broken.json") && message.contains("line 2"), "{message}");
    }
}

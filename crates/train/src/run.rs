//! A run: the folder in which training keeps everything it needs to be continued, and to be understood later.
//!
//! `run.json` is what was asked for, `events.jsonl` a line a tick, `checkpoints/` the newest two states,
//! `samples/` pictures, `events.out.tfevents.synthmr` the curves for TensorBoard, `finished.json` appears
//! when all images have been seen. One process at a time writes, by a lock that the system frees on a kill.

mod difference;

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use synthmr_core::Digest;
use synthmr_core::files::{self, AppendLog, FileError, FolderLock, at};
use synthmr_core::records::{RunRecord, SCHEMA, Tick};

use crate::Watch;
use crate::checkpoint::{Checkpoint, CheckpointError};
use crate::tensorboard::EventLog;

/// The file that makes a folder a run.
pub const RUN_FILE: &str = "run.json";
/// The ticks, one JSON record a line.
pub const EVENTS_FILE: &str = "events.jsonl";
/// TensorBoard looks for `tfevents` in a name.
const TENSORBOARD_FILE: &str = "events.out.tfevents.synthmr";
const FINISHED_FILE: &str = "finished.json";
const CHECKPOINTS: &str = "checkpoints";
const SAMPLES: &str = "samples";
/// Checkpoints that are kept: the newest, and one to fall back to should the newest be damaged.
const KEPT_CHECKPOINTS: usize = 2;

/// Why a run cannot start, continue or be read.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// A checkpoint could not be read or written.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// The path holds something else.
    #[error(
        "{path} is not a run: expected a folder with {RUN_FILE}, found {found}\n\
         hint: `synthmr train` makes runs; choose another name for a new one"
    )]
    NotARun {
        /// The path.
        path: PathBuf,
        /// What is there instead.
        found: String,
    },
    /// `run.json` was written by another version.
    #[error(
        "{path}: expected schema {expected}, found {found}\nhint: use the version of synthmr that wrote it"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema that this version reads.
        expected: u32,
        /// The schema in the file.
        found: u64,
    },
    /// The run exists with other settings, data or engine.
    #[error(
        "{path} is a run with other settings:\n{}\n\
         hint: repeat the command that began it to continue it, or choose another folder for a new run",
        difference::indented(differences)
    )]
    Changed {
        /// The run.
        path: PathBuf,
        /// One line a setting: `key: was -> is`.
        differences: Vec<String>,
    },
    /// The run was never trained as far as its first checkpoint.
    #[error(
        "{path} has no checkpoint yet\nhint: run `synthmr train` again with the same arguments to continue it"
    )]
    Untrained {
        /// The run.
        path: PathBuf,
    },
}

/// `finished.json`: all images of the run have been seen, or a rule has stopped it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Finished {
    schema: u32,
    images_seen: u64,
    /// Why it ended before all images were seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    stopped: Option<String>,
}

/// A run that this process writes to.
#[derive(Debug)]
pub struct Run {
    folder: PathBuf,
    config: Digest,
    logs: Option<Logs>,
    _lock: FolderLock,
}

#[derive(Debug)]
struct Logs {
    events: AppendLog,
    curves: EventLog,
}

impl Run {
    /// Begins a run in `folder`, or takes up the one that is there.
    ///
    /// # Errors
    /// [`RunError::NotARun`] when the folder holds something else, [`FileError::InUse`] when another process
    /// trains in it, [`RunError::Changed`] when it was begun with another configuration, other data, another
    /// engine, device, precision or number of threads.
    pub fn start(folder: &Path, record: &RunRecord, watch: &mut dyn Watch) -> Result<Self, RunError> {
        refuse_other_folders(folder)?;
        files::create_folder(folder)?;
        let lock = FolderLock::take(folder)?;
        let path = folder.join(RUN_FILE);
        let begun = path.exists();
        if !begun {
            files::write_json(&path, record)?;
        }
        let found = read_record(&path)?;
        if begun {
            let differences = difference::between(&found, record);
            if !differences.is_empty() {
                return Err(RunError::Changed { path: folder.to_owned(), differences });
            }
            if found.tool.version != record.tool.version {
                watch.note(&format!(
                    "{} was begun by version {}, this is {}: the result may differ in the last bits from a run \
                     of one version",
                    folder.display(),
                    found.tool.version,
                    record.tool.version
                ));
            }
            remove_leftovers(folder)?;
        }
        files::create_folder(&folder.join(CHECKPOINTS))?;
        files::create_folder(&folder.join(SAMPLES))?;
        Ok(Self { folder: folder.to_owned(), config: Digest::of_json(&found), logs: None, _lock: lock })
    }

    /// The run's folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The state to continue from: the newest checkpoint, or the one before when the newest is damaged.
    ///
    /// # Errors
    /// The newest one's [`CheckpointError`] when there are checkpoints and none can be read: training anew
    /// without a word would throw away what was paid for.
    pub fn latest_checkpoint(&self, watch: &mut dyn Watch) -> Result<Option<Checkpoint>, RunError> {
        let found = newest_intact(&self.folder, Some(&self.config), &mut |note| watch.note(note))?;
        Ok(found.map(|(checkpoint, _)| checkpoint))
    }

    /// Opens the logs and drops what they say after `last`, which training is about to repeat.
    ///
    /// # Errors
    /// [`RunError::File`] when a log cannot be opened.
    pub fn begin_events(&mut self, last: u64) -> Result<(), RunError> {
        let earlier =
            |line: &str| serde_json::from_str::<Tick>(line).is_ok_and(|tick| tick.images_seen <= last);
        let events = AppendLog::open_keeping(&self.folder.join(EVENTS_FILE), |bytes| {
            files::line_prefix(bytes, earlier)
        })?;
        let curves = EventLog::open(&self.folder.join(TENSORBOARD_FILE), last)?;
        self.logs = Some(Logs { events, curves });
        Ok(())
    }

    /// Appends a tick to the logs and shows it to the watch. Call [`Self::begin_events`] first.
    ///
    /// # Errors
    /// [`RunError::File`] when a log cannot be written.
    ///
    /// # Panics
    /// Before [`Self::begin_events`].
    pub fn tick(&mut self, tick: &Tick, watch: &mut dyn Watch) -> Result<(), RunError> {
        #[expect(clippy::expect_used, reason = "a loop that ticks before it opened the logs is a bug")]
        let logs = self.logs.as_mut().expect("begin_events was called");
        let mut line = serde_json::to_vec(tick).map_err(|e| FileError::Document {
            path: self.folder.join(EVENTS_FILE),
            message: format!("a tick cannot be written as JSON: {e}"),
        })?;
        line.push(b'\n');
        logs.events.append(&line)?;
        logs.curves.append(watch.seconds(), tick)?;
        watch.tick(tick);
        Ok(())
    }

    /// Saves a state under its number of images, and removes all but the newest two.
    ///
    /// # Errors
    /// [`RunError::Checkpoint`] when it cannot be written; the older ones are then untouched.
    pub fn save_checkpoint(&self, checkpoint: &Checkpoint) -> Result<Digest, RunError> {
        let path = self.folder.join(CHECKPOINTS).join(checkpoint_file(checkpoint.images_seen));
        let digest = checkpoint.write(&path, &self.config)?;
        for (_, path) in checkpoints(&self.folder)?.into_iter().skip(KEPT_CHECKPOINTS) {
            fs::remove_file(&path).map_err(at("remove", &path))?;
        }
        Ok(digest)
    }

    /// Saves a picture of what the network makes after `images_seen` images.
    ///
    /// # Errors
    /// [`RunError::File`] when it cannot be written.
    pub fn save_samples(&self, images_seen: u64, png: &[u8]) -> Result<(), RunError> {
        Ok(files::write(&self.folder.join(SAMPLES).join(format!("{images_seen:09}.png")), png)?)
    }

    /// Marks the run as complete, with the reason when a rule has `stopped` it; its last checkpoint must be saved
    /// before.
    ///
    /// # Errors
    /// [`RunError::File`] when the mark cannot be written.
    pub fn finish(&self, images_seen: u64, stopped: Option<String>) -> Result<(), RunError> {
        let mark = Finished { schema: SCHEMA, images_seen, stopped };
        Ok(files::write_json(&self.folder.join(FINISHED_FILE), &mark)?)
    }

    /// True when the run is complete and training it again would do nothing.
    pub fn is_finished(&self) -> bool {
        is_finished(&self.folder)
    }

    /// Why a rule ended the run before all images were seen.
    pub fn stopped(&self) -> Option<String> {
        stopped(&self.folder)
    }
}

fn stopped(folder: &Path) -> Option<String> {
    files::read_json::<Finished>(&folder.join(FINISHED_FILE)).ok()?.stopped
}

/// True when the run in `folder` has seen all its images.
pub fn is_finished(folder: &Path) -> bool {
    files::read_json::<Finished>(&folder.join(FINISHED_FILE)).is_ok()
}

/// A run opened for reading, while or after it trains.
#[derive(Debug)]
pub struct TrainedRun {
    /// `run.json`.
    pub record: RunRecord,
    /// The newest intact state.
    pub checkpoint: Checkpoint,
    /// Digest of that checkpoint.
    pub digest: Digest,
    /// What a person should know, in words: damaged checkpoints that were passed over, a rule that ended the training.
    pub notes: Vec<String>,
}

impl TrainedRun {
    /// Opens the run in `folder` at its newest intact checkpoint.
    ///
    /// # Errors
    /// [`RunError::NotARun`], [`RunError::Untrained`], or what is wrong with `run.json` or the checkpoints.
    pub fn open(folder: &Path) -> Result<Self, RunError> {
        let record = open_record(folder)?;
        let mut notes = Vec::new();
        let config = Digest::of_json(&record);
        let found = newest_intact(folder, Some(&config), &mut |note| notes.push(note.to_owned()))?;
        let (checkpoint, digest) = found.ok_or_else(|| RunError::Untrained { path: folder.to_owned() })?;
        notes.extend(stopped(folder).map(|reason| format!("{} was ended early: {reason}", folder.display())));
        Ok(Self { record, checkpoint, digest, notes })
    }
}

/// Reads `run.json` of the run in `folder`.
///
/// # Errors
/// [`RunError::NotARun`] when there is none, [`RunError::Schema`] for one from another version,
/// [`RunError::File`] when it cannot be read.
pub fn open_record(folder: &Path) -> Result<RunRecord, RunError> {
    let path = folder.join(RUN_FILE);
    if path.is_file() {
        return read_record(&path);
    }
    let found = match (folder.exists(), folder.is_dir()) {
        (_, true) => "a folder without it",
        (true, false) => "a file",
        (false, _) => "nothing there",
    };
    Err(RunError::NotARun { path: folder.to_owned(), found: found.to_owned() })
}

#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

fn read_record(path: &Path) -> Result<RunRecord, RunError> {
    // The schema is looked at first: a record from the future has fields that this version refuses.
    let Versioned { schema } = files::read_json(path)?;
    if schema != u64::from(SCHEMA) {
        return Err(RunError::Schema { path: path.to_owned(), expected: SCHEMA, found: schema });
    }
    Ok(files::read_json(path)?)
}

/// A new run begins in a folder that is not there or empty, so that it never mixes with other files.
fn refuse_other_folders(folder: &Path) -> Result<(), RunError> {
    let not_a_run = |found: String| RunError::NotARun { path: folder.to_owned(), found };
    if !folder.exists() || folder.join(RUN_FILE).is_file() {
        return Ok(());
    }
    if !folder.is_dir() {
        return Err(not_a_run("a file".to_owned()));
    }
    for entry in fs::read_dir(folder).map_err(at("read", folder))? {
        let name = entry.map_err(at("read", folder))?.file_name();
        // What a start that was killed before it wrote run.json leaves behind.
        let ours = name == ".lock" || name.to_string_lossy().starts_with(".tmp-");
        if !ours {
            return Err(not_a_run(format!("a folder that holds {name:?}")));
        }
    }
    Ok(())
}

/// Removes the temporary files of writes that a kill cut short. The lock says that nobody is writing them.
fn remove_leftovers(folder: &Path) -> Result<(), RunError> {
    for folder in [folder.to_owned(), folder.join(CHECKPOINTS), folder.join(SAMPLES)] {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder).map_err(at("read", &folder))? {
            let path = entry.map_err(at("read", &folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with(".tmp-") && path.is_file() {
                fs::remove_file(&path).map_err(at("remove", &path))?;
            }
        }
    }
    Ok(())
}

fn checkpoint_file(images_seen: u64) -> String {
    format!("{images_seen:09}.safetensors")
}

/// The checkpoints of a run, newest first.
fn checkpoints(folder: &Path) -> Result<Vec<(u64, PathBuf)>, RunError> {
    let folder = folder.join(CHECKPOINTS);
    if !folder.is_dir() {
        return Ok(Vec::new());
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(&folder).map_err(at("read", &folder))? {
        let path = entry.map_err(at("read", &folder))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let images_seen = name.strip_suffix(".safetensors").and_then(|number| number.parse().ok());
        found.extend(images_seen.map(|images_seen| (images_seen, path.clone())));
    }
    found.sort_by_key(|(images_seen, _)| std::cmp::Reverse(*images_seen));
    Ok(found)
}

fn newest_intact(
    folder: &Path,
    config: Option<&Digest>,
    note: &mut dyn FnMut(&str),
) -> Result<Option<(Checkpoint, Digest)>, RunError> {
    let mut first_error = None;
    for (_, path) in checkpoints(folder)? {
        match Checkpoint::read(&path, config) {
            Ok(found) => return Ok(Some(found)),
            Err(error) => {
                note(&format!("passing over a checkpoint: {error}"));
                first_error.get_or_insert(error);
            }
        }
    }
    first_error.map_or(Ok(None), |error| Err(error.into()))
}

#[cfg(test)]
mod tests;

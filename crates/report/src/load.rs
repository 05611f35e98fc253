//! Reading the inputs of a report from stores, run folders and evaluation files.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::Value;
use synthmr_core::Digest;
use synthmr_core::files::{self, FileError, at};
use synthmr_core::records::{ContactSheet, Tick};

use crate::check;
use crate::error::ReportError;
use crate::inputs::{
    AuditInput, ComparisonInput, EvaluationInput, RealismInput, RunInput, SheetInput, StoreInput,
};

/// Largest picture that goes into a report, in bytes: a grid of 8 x 5 cells of 256 pixels stays below 3 MiB,
/// and a page of several pictures must still open on a laptop.
pub const PICTURE_BYTES: u64 = 16 << 20;

impl StoreInput {
    /// Reads `manifest.json`, and `sheet.json` with its PNG where there is one.
    ///
    /// # Errors
    /// When a file cannot be read, is not the record it should be, or has an unknown schema; when the sheet
    /// names a picture outside the store, or its picture is missing or longer than [`PICTURE_BYTES`].
    pub fn load(store: &Path) -> Result<Self, ReportError> {
        let path = store.join("manifest.json");
        let text = files::read_text(&path)?;
        let (digest, manifest) = (Digest::of(text.as_bytes()), parsed(&path, &text)?);
        let sheet_path = store.join("sheet.json");
        let sheet = if exists(&sheet_path)? {
            let record: ContactSheet = record(&sheet_path)?;
            let png = picture(&inside_folder(store, &record.png, &sheet_path)?)?;
            Some(SheetInput { record, png })
        } else {
            None
        };
        Ok(Self { name: name_of(store), digest, manifest, sheet })
    }
}

impl RunInput {
    /// Reads `run.json`, `events.jsonl` (none yet is no error) and the newest of `samples/*.png`, which is
    /// the last by name: the names carry the number of images seen.
    ///
    /// # Errors
    /// When a file cannot be read, is not the record it should be, or has an unknown schema; when a line of
    /// the events other than a torn last one is not a tick.
    pub fn load(run: &Path) -> Result<Self, ReportError> {
        let record = record(&run.join("run.json"))?;
        let events = run.join("events.jsonl");
        let ticks = if exists(&events)? { ticks_from(&events, &files::read_text(&events)?)? } else { vec![] };
        let samples = newest_sample(&run.join("samples"))?.map(|path| picture(&path)).transpose()?;
        Ok(Self { name: name_of(run), record, ticks, samples })
    }
}

impl EvaluationInput {
    /// Reads an `eval.json` under the name of its condition.
    ///
    /// # Errors
    /// When the file cannot be read, is not an evaluation, or has an unknown schema.
    pub fn load(condition: &str, path: &Path) -> Result<Self, ReportError> {
        Ok(Self { condition: condition.to_owned(), record: record(path)? })
    }
}

impl ComparisonInput {
    /// Reads a `compare.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is not a comparison, or has an unknown schema.
    pub fn load(path: &Path) -> Result<Self, ReportError> {
        Ok(Self { name: name_of(path), record: record(path)? })
    }
}

impl RealismInput {
    /// Reads a `realism.json`, under the name of a condition where it has one.
    ///
    /// # Errors
    /// When the file cannot be read, is not a measurement of realism, or has an unknown schema.
    pub fn load(name: Option<&str>, path: &Path) -> Result<Self, ReportError> {
        let file = path.display().to_string();
        Ok(Self { name: name.map(str::to_owned), file, record: record(path)? })
    }
}

impl AuditInput {
    /// Reads an `audit.json`.
    ///
    /// # Errors
    /// When the file cannot be read, is not an audit, or has an unknown schema.
    pub fn load(path: &Path) -> Result<Self, ReportError> {
        Ok(Self { name: name_of(path), record: record(path)? })
    }
}

fn document(path: &Path, message: impl Into<String>) -> ReportError {
    FileError::Document { path: path.to_owned(), message: message.into() }.into()
}

/// The last component of a path, also of `.` and `..`; where it lies is nobody's business.
fn name_of(path: &Path) -> String {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().or_else(|| resolved.file_name());
    name.map_or_else(|| "unnamed".to_owned(), |name| name.to_string_lossy().into_owned())
}

fn exists(path: &Path) -> Result<bool, ReportError> {
    Ok(path.try_exists().map_err(at("read", path))?)
}

/// Reads a record. The schema is looked at first: a newer record may well have fields that this version
/// does not know, and the version is what the reader should hear about.
fn record<T: DeserializeOwned>(path: &Path) -> Result<T, ReportError> {
    parsed(path, &files::read_text(path)?)
}

fn parsed<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, ReportError> {
    let value: Value = serde_json::from_str(text).map_err(|e| document(path, e.to_string()))?;
    check::schema_value(&path.display().to_string(), value.get("schema"))?;
    serde_json::from_str(text).map_err(|e| document(path, e.to_string()))
}

/// The picture that a sheet names, which must lie beside the sheet: a record from elsewhere could otherwise
/// draw any file of this machine into a page that is passed on.
fn inside_folder(folder: &Path, name: &str, sheet: &Path) -> Result<PathBuf, ReportError> {
    let plain = Path::new(name).file_name() == Some(OsStr::new(name)) && !name.contains('\\');
    if plain {
        Ok(folder.join(name))
    } else {
        Err(document(sheet, format!("png: expected a file name beside the sheet, found {name:?}")))
    }
}

fn picture(path: &Path) -> Result<Vec<u8>, ReportError> {
    let file = File::open(path).map_err(at("read", path))?;
    let mut bytes = Vec::new();
    file.take(PICTURE_BYTES + 1).read_to_end(&mut bytes).map_err(at("read", path))?;
    if bytes.len() as u64 > PICTURE_BYTES {
        return Err(document(path, format!("longer than the limit of {PICTURE_BYTES} bytes for a picture")));
    }
    Ok(bytes)
}

fn newest_sample(folder: &Path) -> Result<Option<PathBuf>, ReportError> {
    let entries = match fs::read_dir(folder) {
        Err(e) if e.kind() == ErrorKind::NotFound => return Ok(None),
        entries => entries.map_err(at("list", folder))?,
    };
    let mut newest: Option<(u64, PathBuf)> = None;
    for entry in entries {
        let path = entry.map_err(at("list", folder))?.path();
        if path.extension() != Some(OsStr::new("png")) {
            continue;
        }
        let candidate = (images_in_name(&path), path);
        if newest.as_ref().is_none_or(|known| *known < candidate) {
            newest = Some(candidate);
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The last number in a file's name, so that `samples-10000` comes after `samples-9000`.
fn images_in_name(path: &Path) -> u64 {
    let stem = path.file_stem().map(OsStr::to_string_lossy).unwrap_or_default();
    let digits = stem.rsplit(|c: char| !c.is_ascii_digit()).find(|run| !run.is_empty());
    digits.and_then(|run| run.parse().ok()).unwrap_or(0)
}

/// The ticks of an `events.jsonl`. JSON has no NaN: such values are written as `null` and become NaN again.
fn ticks_from(path: &Path, text: &str) -> Result<Vec<Tick>, ReportError> {
    let mut ticks = Vec::new();
    for (index, line) in text.split_inclusive('\n').enumerate() {
        match tick_from(line) {
            Some(tick) => ticks.push(tick),
            // A run that was killed, or is still writing, leaves a torn last line.
            None if !line.ends_with('\n') => {}
            None => {
                let found: String = line.trim_end().chars().take(60).collect();
                return Err(document(path, format!("line {}: expected a tick, found {found:?}", index + 1)));
            }
        }
    }
    Ok(ticks)
}

fn tick_from(line: &str) -> Option<Tick> {
    let value: Value = serde_json::from_str(line).ok()?;
    let images_seen = value.get("images_seen")?.as_u64()?;
    let mut values = BTreeMap::new();
    for (name, value) in value.get("values")?.as_object()? {
        let number = if value.is_null() { f64::NAN } else { value.as_f64()? };
        values.insert(name.clone(), number);
    }
    Some(Tick { images_seen, values })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_keep_nan_and_drop_a_torn_last_line() {
        let path = Path::new("events.jsonl");
        let text = "{\"images_seen\":8,\"values\":{\"loss\":null,\"p\":1}}\n{\"images_seen\":16,\"val";
        let ticks = ticks_from(path, text).unwrap();
        assert_eq!(ticks.len(), 1);
        assert!(ticks[0].values["loss"].is_nan());
        assert_eq!(ticks[0].values["p"], 1.0);
        let message = ticks_from(path, "{}\n").unwrap_err().to_string();
        assert!(message.contains("events.jsonl") && message.contains("line 1"), "{message}");
    }

    #[test]
    fn samples_are_ordered_by_their_number() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["fakes-9000.png", "fakes-10000.png", "fakes-20000.txt"] {
            fs::write(folder.path().join(name), b"x").unwrap();
        }
        let newest = newest_sample(folder.path()).unwrap().unwrap();
        assert_eq!(newest.file_name().unwrap(), "fakes-10000.png");
        assert_eq!(newest_sample(&folder.path().join("absent")).unwrap(), None);
    }

    #[test]
    fn rejects_pictures_over_the_limit() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("sheet.png");
        File::create(&path).unwrap().set_len(PICTURE_BYTES + 1).unwrap();
        assert!(picture(&path).unwrap_err().to_string().contains("sheet.png"));
    }

    #[test]
    fn rejects_pictures_outside_the_store() {
        for name in ["../other.png", "/tmp/x.png", "a/b.png", "..", "", "a\\b.png"] {
            let error = inside_folder(Path::new("x.store"), name, Path::new("sheet.json"));
            assert!(error.is_err(), "{name:?} was accepted");
        }
        assert!(inside_folder(Path::new("x.store"), "sheet.png", Path::new("sheet.json")).is_ok());
    }
}

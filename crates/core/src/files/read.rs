//! Reading documents of bounded size.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde_json::Value;

use super::{FileError, at};
use crate::limits;

/// Reads a text document of at most [`limits::DOCUMENT_BYTES`].
///
/// # Errors
/// [`FileError::Io`] when it cannot be read, [`FileError::Document`] when it is too large or not UTF-8.
pub fn read_text(path: &Path) -> Result<String, FileError> {
    let file = File::open(path).map_err(at("read", path))?;
    let mut bytes = Vec::new();
    file.take(limits::DOCUMENT_BYTES + 1).read_to_end(&mut bytes).map_err(at("read", path))?;
    let document = |message: String| FileError::Document { path: path.to_owned(), message };
    if bytes.len() as u64 > limits::DOCUMENT_BYTES {
        return Err(document(format!("longer than the limit of {} bytes", limits::DOCUMENT_BYTES)));
    }
    String::from_utf8(bytes).map_err(|e| document(format!("not UTF-8 text: {e}")))
}

/// Reads a JSON record.
///
/// # Errors
/// As [`read_text`], and [`FileError::Document`] with line and column when the JSON does not fit the record.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T, FileError> {
    parsed(path, &read_text(path)?)
}

/// Reads a JSON record whose `schema` must be `known`. The schema is looked at first: a newer record may well have fields
/// that this version does not know, and the version is what the reader should hear about.
///
/// # Errors
/// As [`read_json`], and [`FileError::Schema`].
pub fn read_record<T: DeserializeOwned>(path: &Path, known: u32) -> Result<T, FileError> {
    let text = read_text(path)?;
    let value: Value = parsed(path, &text)?;
    let found = value.get("schema");
    if found.and_then(Value::as_u64) != Some(u64::from(known)) {
        let found = found.map_or_else(|| "none".to_owned(), ToString::to_string);
        return Err(FileError::Schema { path: path.to_owned(), known, found });
    }
    parsed(path, &text)
}

fn parsed<T: DeserializeOwned>(path: &Path, text: &str) -> Result<T, FileError> {
    serde_json::from_str(text)
        .map_err(|e| FileError::Document { path: path.to_owned(), message: e.to_string() })
}

/// The last component of a path, also of `.` and `..`: records never say where things lie.
pub fn name_of(path: &Path) -> String {
    let resolved = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let name = path.file_name().or_else(|| resolved.file_name());
    name.map_or_else(|| "unnamed".to_owned(), |name| name.to_string_lossy().into_owned())
}

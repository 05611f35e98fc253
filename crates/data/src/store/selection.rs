//! `STORE[:split]`, as it is typed wherever a store is read.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use synthmr_core::Split;

use super::{SliceStore, StoreError};

/// A store, or one part of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoreSelection {
    /// The store's folder.
    pub path: PathBuf,
    /// The part; all slices when it is not given.
    pub split: Option<Split>,
}

/// Why a text is not a selection.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SelectionError {
    /// Nothing before the colon.
    #[error("{text:?}: expected STORE or STORE:split, found no store\nhint: for example ph.store:train")]
    NoPath {
        /// The text.
        text: String,
    },
    /// What follows the colon is not a split.
    #[error(
        "{text:?}: expected one of train, val, control, test after the colon, found {found:?}\nhint: for example {path}:train"
    )]
    NoSuchSplit {
        /// The text.
        text: String,
        /// What follows the last colon.
        found: String,
        /// What is before it.
        path: String,
    },
}

impl StoreSelection {
    /// Opens the store and lists the indices of the selected slices, in the store's order.
    ///
    /// # Errors
    /// As [`SliceStore::open`] and [`SliceStore::select`].
    pub fn open(&self) -> Result<(SliceStore, Vec<u32>), StoreError> {
        let store = SliceStore::open(&self.path)?;
        let indices = store.select(self.split)?;
        Ok((store, indices))
    }
}

impl FromStr for StoreSelection {
    type Err = SelectionError;

    /// A text that exists as a path is a path, whatever colons it holds; otherwise the last colon separates
    /// the split, unless what follows it is more of a path.
    fn from_str(text: &str) -> Result<Self, SelectionError> {
        let whole = || Self { path: PathBuf::from(text), split: None };
        if text.is_empty() {
            return Err(SelectionError::NoPath { text: text.to_owned() });
        }
        let Some((path, suffix)) = text.rsplit_once(':') else { return Ok(whole()) };
        if Path::new(text).exists() || suffix.contains(['/', '\\']) {
            return Ok(whole());
        }
        if path.is_empty() {
            return Err(SelectionError::NoPath { text: text.to_owned() });
        }
        match suffix.parse() {
            Ok(split) => Ok(Self { path: PathBuf::from(path), split: Some(split) }),
            Err(_) => Err(SelectionError::NoSuchSplit {
                text: text.to_owned(),
                found: suffix.to_owned(),
                path: path.to_owned(),
            }),
        }
    }
}

impl fmt::Display for StoreSelection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.path.display())?;
        self.split.map_or(Ok(()), |split| write!(f, ":{split}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_suffix_is_a_split() {
        let selection: StoreSelection = "a/ph.store:train".parse().unwrap();
        assert_eq!(
            selection,
            StoreSelection { path: PathBuf::from("a/ph.store"), split: Some(Split::Train) }
        );
        assert_eq!(selection.to_string(), "a/ph.store:train");
        assert_eq!("ph.store".parse::<StoreSelection>().unwrap().split, None);
    }

    #[test]
    fn a_path_with_a_colon_works_when_it_exists() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a:val");
        std::fs::create_dir(&path).unwrap();
        let text = path.to_str().unwrap();
        assert_eq!(
            text.parse::<StoreSelection>().unwrap(),
            StoreSelection { path: path.clone(), split: None }
        );
        let part: StoreSelection = format!("{text}:test").parse().unwrap();
        assert_eq!(part, StoreSelection { path, split: Some(Split::Test) });
    }

    #[test]
    fn unknown_splits_are_named() {
        let message = "ph.store:tets".parse::<StoreSelection>().unwrap_err().to_string();
        assert!(message.contains("\"tets\"") && message.contains("hint:"), "{message}");
        assert!("".parse::<StoreSelection>().is_err());
        assert!(":train".parse::<StoreSelection>().is_err());
        assert_eq!("a:b/ph.store".parse::<StoreSelection>().unwrap().split, None);
    }
}

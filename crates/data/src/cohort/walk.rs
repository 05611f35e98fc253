//! Which files are in a cohort's folder. Nothing is opened here, so a pipe cannot make it wait.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use synthmr_core::files::{self, FileError};

use super::finding::{Finding, Level, printable};

/// How deep volumes are looked for: `HGG/SUBJECT/SESSION/anat/FILE` and no deeper.
pub(super) const DEPTH: usize = 5;

/// What is in the folder.
pub(super) struct Tree {
    /// Regular files, relative to the root, in the order of their names. Hidden ones are left out.
    pub(super) files: Vec<PathBuf>,
    /// Links that lead outside, pipes, names that are not text.
    pub(super) findings: Vec<Finding>,
}

/// Lists the files below `root`.
///
/// Links are followed, since cohorts are often made of them, but never out of sight: a link that leads
/// outside the root is reported as a warning, a broken or circular one as a fault.
pub(super) fn walk(root: &Path) -> Result<Tree, FileError> {
    let real_root = fs::canonicalize(root).map_err(files::at("read", root))?;
    let mut walker = Walker {
        root: root.to_owned(),
        open: BTreeSet::from([real_root.clone()]),
        real_root,
        tree: Tree { files: Vec::new(), findings: Vec::new() },
    };
    walker.folder(Path::new(""), 0)?;
    Ok(walker.tree)
}

struct Walker {
    root: PathBuf,
    real_root: PathBuf,
    /// The folders above the present one, by their real paths: a link to one of them is circular.
    open: BTreeSet<PathBuf>,
    tree: Tree,
}

impl Walker {
    fn folder(&mut self, relative: &Path, depth: usize) -> Result<(), FileError> {
        let path = self.root.join(relative);
        let mut names = Vec::new();
        for entry in fs::read_dir(&path).map_err(files::at("list", &path))? {
            names.push(entry.map_err(files::at("list", &path))?.file_name());
        }
        names.sort();
        for name in names {
            if name.as_encoded_bytes().starts_with(b".") {
                continue;
            }
            let relative = relative.join(&name);
            if name.to_str().is_none() {
                self.report(Level::Fault, &relative, "a name that is UTF-8 text", "other bytes", "rename it");
                continue;
            }
            self.entry(relative, depth)?;
        }
        Ok(())
    }

    fn entry(&mut self, relative: PathBuf, depth: usize) -> Result<(), FileError> {
        let path = self.root.join(&relative);
        let link = fs::symlink_metadata(&path).map_err(files::at("read", &path))?.is_symlink();
        let (Ok(metadata), Ok(real)) = (fs::metadata(&path), fs::canonicalize(&path)) else {
            let hint = "restore the link's target, or remove the link";
            self.report(Level::Fault, &relative, "a file or folder", "a link that leads nowhere", hint);
            return Ok(());
        };
        if link && !real.starts_with(&self.real_root) {
            let found = format!("a link to {}", printable(&real));
            let hint = "nothing to do if this is meant; the link was followed";
            self.report(Level::Warning, &relative, "a file or folder inside the cohort", &found, hint);
        }
        if metadata.is_dir() {
            if depth + 1 >= DEPTH {
                return Ok(());
            }
            if !self.open.insert(real.clone()) {
                let hint = "remove the link";
                self.report(Level::Fault, &relative, "a folder", "a link to a folder that holds it", hint);
                return Ok(());
            }
            let listed = self.folder(&relative, depth + 1);
            self.open.remove(&real);
            if let Err(error) = listed {
                let hint = "make the folder readable";
                self.report(Level::Fault, &relative, "a readable folder", &error.to_string(), hint);
            }
        } else if metadata.is_file() {
            self.tree.files.push(relative);
        } else {
            let hint = "remove it from the cohort's folder";
            self.report(Level::Fault, &relative, "a regular file", "a pipe, socket or device", hint);
        }
        Ok(())
    }

    fn report(&mut self, level: Level, relative: &Path, expected: &str, found: &str, hint: &str) {
        self.tree.findings.push(Finding::new(level, "", printable(relative), expected, found, hint));
    }
}

//! Finished blocks of an audit: a killed audit goes on where it was. Blocks hold scores of images, so they are for the owner
//! only, and are removed when the audit is done.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use synthmr_core::Digest;
use synthmr_core::files::{self, Access, FileError};

use crate::AuditError;
use crate::calibration::Query;

/// The caller's side of an audit: progress goes out, a wish to stop comes in.
pub trait Watch {
    /// True when the audit should stop; finished blocks stay.
    fn should_stop(&self) -> bool;

    /// How far the audit has come, in images compared.
    fn progress(&mut self, done: u64, total: u64);

    /// That the next [`Self::progress`] counts from here: what was done before, an earlier run has left.
    fn resumed(&mut self, _done: u64) {}
}

/// Where blocks are kept.
#[derive(Debug)]
pub struct Work {
    folder: PathBuf,
    key: Digest,
}

#[derive(Serialize, Deserialize)]
struct Block {
    key: Digest,
    queries: Vec<Query>,
}

impl Work {
    /// Blocks in `folder`, of the audit that `key` stands for: inputs, settings and version. Others are ignored.
    ///
    /// # Errors
    /// [`FileError`] when the folder cannot be made.
    pub fn open(folder: &Path, key: Digest) -> Result<Self, FileError> {
        files::create_folder(folder)?;
        Ok(Self { folder: folder.to_owned(), key })
    }

    /// A block by its name: what an earlier run left (true), or what `compute` gives now (false).
    ///
    /// # Errors
    /// What `compute` gives, or [`FileError`] when the block cannot be kept.
    pub fn block(
        &self,
        name: &str,
        compute: impl FnOnce() -> Result<Vec<Query>, AuditError>,
    ) -> Result<(Vec<Query>, bool), AuditError> {
        let path = self.folder.join(format!("{name}.json"));
        // A block that cannot be read, whatever the reason, is computed again.
        if let Ok(block) = files::read_json::<Block>(&path)
            && block.key == self.key
        {
            return Ok((block.queries, true));
        }
        let block = Block { key: self.key.clone(), queries: compute()? };
        files::write_with(&path, Access::Private, |file| Ok(serde_json::to_writer(file, &block)?))?;
        Ok((block.queries, false))
    }

    /// Removes the blocks. What cannot be removed stays, and hinders nobody.
    pub fn finish(self) {
        let _stays_when_refused = std::fs::remove_dir_all(&self.folder);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_is_computed_once_for_its_key_and_again_when_damaged() {
        let folder = tempfile::tempdir().unwrap();
        let query = || Query { found: vec![], share: 0.25 };
        let open = |key: &[u8]| Work::open(folder.path(), Digest::of(key)).unwrap();
        let never = || panic!("the block is there");
        assert_eq!(open(b"a").block("x", || Ok(vec![query()])).unwrap(), (vec![query()], false));
        assert_eq!(open(b"a").block("x", never).unwrap(), (vec![query()], true));
        assert_eq!(open(b"b").block("x", || Ok(vec![])).unwrap(), (vec![], false));
        std::fs::write(folder.path().join("x.json"), b"{\"key\":").unwrap();
        assert_eq!(open(b"b").block("x", || Ok(vec![query()])).unwrap(), (vec![query()], false));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(folder.path().join("x.json")).unwrap().permissions().mode();
            assert_eq!(mode & 0o077, 0, "scores are for the owner");
        }
        open(b"b").finish();
        assert!(!folder.path().exists());
    }
}

//! Writing a store: slices in, a complete folder out.

use std::path::{Path, PathBuf};

use serde::Serialize;
use synthmr_core::files::{self, Access, FolderWriter};
use synthmr_core::records::{Origin, SCHEMA, ShardRecord, StoreManifest, Tool};
use synthmr_core::{Digest, LabelScheme};

use super::shard::ShardBuffer;
use super::slices::{check_manifest, check_slices};
use super::{MANIFEST_FILE, StoreError, shard_file};

/// Bytes of pixels in one shard: large enough to be read at full speed, small enough to be held in memory
/// twice while it is written (slices and file).
const SHARD_BYTES: usize = 64 << 20;

/// The form of a store's slices.
#[derive(Clone, Debug, PartialEq)]
pub struct StoreLayout {
    /// Names of the image channels, in order.
    pub channels: Vec<String>,
    /// Rows of a slice.
    pub height: usize,
    /// Columns of a slice.
    pub width: usize,
    /// Classes of the label pixels.
    pub labels: LabelScheme,
}

/// Writes a store slice by slice; the folder appears under its name only when [`StoreWriter::finish`] has
/// put all of it on disk. Memory: one shard, twice. The bytes depend on the slices and nothing else.
pub struct StoreWriter {
    target: PathBuf,
    folder: FolderWriter,
    layout: StoreLayout,
    buffer: ShardBuffer,
    shards: Vec<ShardRecord>,
    /// Subject (-1 for none) and number of every slice.
    slices: Vec<(i32, i32)>,
    slices_per_shard: usize,
}

impl StoreWriter {
    /// Begins a store that will be the folder `path`.
    ///
    /// # Errors
    /// [`StoreError::File`] when the folder exists or cannot be made.
    pub fn create(path: &Path, layout: StoreLayout) -> Result<Self, StoreError> {
        let slice_bytes = (layout.channels.len() + 1) * layout.height * layout.width;
        Ok(Self {
            target: path.to_owned(),
            folder: FolderWriter::create(path)?,
            buffer: ShardBuffer::default(),
            shards: Vec::new(),
            slices: Vec::new(),
            slices_per_shard: (SHARD_BYTES / slice_bytes.max(1)).max(1),
            layout,
        })
    }

    /// Adds a slice: `image` u8 `[C, H, W]`, `label` class indices `[H, W]`, the subject's index in the
    /// origin's list (none for synthetic images), and the slice's number in its volume or set.
    ///
    /// # Errors
    /// [`StoreError::Label`] for a value that is no class, [`StoreError::File`] when a shard cannot be written.
    ///
    /// # Panics
    /// When a slice has another size than the layout says, or `subject` exceeds `i32::MAX`.
    pub fn push(
        &mut self,
        image: &[u8],
        label: &[u8],
        subject: Option<u32>,
        slice: i32,
    ) -> Result<(), StoreError> {
        let pixels = self.layout.height * self.layout.width;
        assert_eq!(image.len(), pixels * self.layout.channels.len(), "an image has the layout's size");
        assert_eq!(label.len(), pixels, "a label map has the layout's size");
        let classes = self.layout.labels.class_count();
        let largest = label.iter().copied().max().unwrap_or(0);
        if usize::from(largest) >= classes {
            let slice = self.slices.len();
            return Err(StoreError::Label { path: self.target.clone(), slice, classes, found: largest });
        }
        if self.slices.len() >= u32::MAX as usize {
            return Err(StoreError::TooLarge { path: self.target.clone(), limit: u32::MAX as usize });
        }
        assert!(subject.is_none_or(|s| i32::try_from(s).is_ok()), "a subject's index fits the shard's i32");
        let subject = subject.map_or(-1, |s| s as i32);
        self.buffer.images.extend_from_slice(image);
        self.buffer.labels.extend_from_slice(label);
        self.buffer.subject.extend_from_slice(&subject.to_le_bytes());
        self.buffer.slice.extend_from_slice(&slice.to_le_bytes());
        self.slices.push((subject, slice));
        if self.buffer.len() == self.slices_per_shard {
            self.flush()?;
        }
        Ok(())
    }

    /// Slices so far.
    pub fn len(&self) -> usize {
        self.slices.len()
    }

    /// True before the first slice.
    pub fn is_empty(&self) -> bool {
        self.slices.is_empty()
    }

    /// Adds a file beside the shards, such as the contact sheet; a private one is for the owner only.
    ///
    /// # Errors
    /// [`StoreError::File`] when it cannot be written.
    pub fn add_file(&self, name: &str, access: Access, bytes: &[u8]) -> Result<(), StoreError> {
        files::write_with(&self.folder.path().join(name), access, |w| w.write_all(bytes))?;
        Ok(())
    }

    /// Adds a record as indented JSON; see [`Self::add_file`].
    ///
    /// # Errors
    /// [`StoreError::File`] when it cannot be written.
    pub fn add_json<T: Serialize>(&self, name: &str, access: Access, record: &T) -> Result<(), StoreError> {
        files::write_with(&self.folder.path().join(name), access, |w| {
            serde_json::to_writer_pretty(&mut *w, record)?;
            w.write_all(b"\n")
        })?;
        Ok(())
    }

    /// Writes the last shard and the manifest, and gives the folder its name.
    ///
    /// # Errors
    /// [`StoreError::Empty`] without slices, [`StoreError::Manifest`] when `origin` does not describe the
    /// slices that were pushed, [`StoreError::File`] when something cannot be written. Nothing stays then.
    pub fn finish(mut self, origin: Origin) -> Result<StoreManifest, StoreError> {
        if self.is_empty() {
            let hint = "no slice passed the recipe's threshold; see `synthmr check`, or try another recipe";
            return Err(StoreError::Empty { path: self.target, hint });
        }
        if self.buffer.len() > 0 {
            self.flush()?;
        }
        let manifest = StoreManifest {
            schema: SCHEMA,
            tool: Tool::this(),
            channels: self.layout.channels,
            height: self.layout.height,
            width: self.layout.width,
            slices: self.slices.len(),
            labels: self.layout.labels,
            origin,
            shards: self.shards,
        };
        let path = self.target.join(MANIFEST_FILE);
        check_manifest(&manifest)
            .and_then(|()| check_slices(&manifest, &self.slices))
            .map_err(|message| StoreError::Manifest { path, message })?;
        files::write_json(&self.folder.path().join(MANIFEST_FILE), &manifest)?;
        self.folder.commit()?;
        Ok(manifest)
    }

    fn flush(&mut self) -> Result<(), StoreError> {
        let name = shard_file(self.shards.len());
        let StoreLayout { channels, height, width, .. } = &self.layout;
        let bytes = self.buffer.serialize(channels.len(), *height, *width).map_err(|e| {
            StoreError::DamagedShard { path: self.target.join(&name), message: e.to_string() }
        })?;
        let mut file = self.folder.file(&name)?;
        file.put(&bytes)?;
        file.finish()?;
        let digest = Digest::of(&bytes);
        self.shards.push(ShardRecord { file: name, slices: self.buffer.len(), digest });
        self.buffer.clear();
        Ok(())
    }
}

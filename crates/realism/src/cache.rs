//! Extracted features on disk, so that neither an interruption nor another synthetic set costs them again.
//!
//! A file holds the features of one chunk of images of one contrast. Its name is a digest of everything that they depend
//! on: the store's content, the images, the contrast, the network with its weights. It is written whole or not at all, and
//! for its owner only: features of real images are made of patients' data.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use synthmr_core::Digest;
use synthmr_core::files::{self, Access, FileError};

/// Features of some images.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Chunk {
    /// `[images, dims]`.
    pub(crate) values: Vec<f32>,
    /// `[images, classes]`; empty where the network has none.
    pub(crate) probabilities: Vec<f32>,
}

/// A folder of features.
#[derive(Clone, Debug)]
pub struct Cache {
    folder: PathBuf,
}

/// Why a cached file is not used.
pub(crate) enum Miss {
    /// It is not there.
    Absent,
    /// It is not what was written, in words.
    Damaged(String),
}

impl Cache {
    /// The folder, which is made when something is written.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, key: &Digest) -> PathBuf {
        self.folder.join(format!("{}.safetensors", &key.as_str()[..32]))
    }

    /// The chunk `key` of `images` images with this many values and probabilities each.
    pub(crate) fn read(
        &self,
        key: &Digest,
        images: usize,
        dims: usize,
        classes: usize,
    ) -> Result<Chunk, Miss> {
        let path = self.path(key);
        let bytes = match fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Err(Miss::Absent),
            Err(e) => return Err(Miss::Damaged(format!("{}: {e}", path.display()))),
            Ok(bytes) => bytes,
        };
        chunk_of(&bytes, images, dims, classes)
            .ok_or_else(|| Miss::Damaged(format!("{} is not what was written to it", path.display())))
    }

    /// Keeps a chunk.
    pub(crate) fn write(&self, key: &Digest, chunk: &Chunk, images: usize) -> Result<(), FileError> {
        files::create_folder(&self.folder)?;
        let path = self.path(key);
        let bytes = bytes_of(chunk, images)
            .map_err(|e| FileError::Document { path: path.clone(), message: e.to_string() })?;
        files::write_with(&path, Access::Private, |file| file.write_all(&bytes))
    }
}

fn content_digest(values: &[u8], probabilities: &[u8]) -> String {
    synthmr_core::ids::Digester::new().add(values).add(probabilities).finish().to_string()
}

fn bytes_of(chunk: &Chunk, images: usize) -> Result<Vec<u8>, safetensors::SafeTensorError> {
    let little_endian =
        |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>();
    let (values, probabilities) = (little_endian(&chunk.values), little_endian(&chunk.probabilities));
    let metadata = HashMap::from([("content".to_owned(), content_digest(&values, &probabilities))]);
    let shape = |bytes: &[u8]| vec![images, bytes.len() / 4 / images.max(1)];
    let tensors = [
        ("values", TensorView::new(Dtype::F32, shape(&values), &values)?),
        ("probabilities", TensorView::new(Dtype::F32, shape(&probabilities), &probabilities)?),
    ];
    safetensors::serialize(tensors, Some(metadata))
}

fn chunk_of(bytes: &[u8], images: usize, dims: usize, classes: usize) -> Option<Chunk> {
    let (_, metadata) = SafeTensors::read_metadata(bytes).ok()?;
    let file = SafeTensors::deserialize(bytes).ok()?;
    let data = |name: &str, columns: usize| {
        let view = file.tensor(name).ok()?;
        (view.dtype() == Dtype::F32 && view.shape() == [images, columns]).then(|| view.data())
    };
    let (values, probabilities) = (data("values", dims)?, data("probabilities", classes)?);
    let expected = metadata.metadata().as_ref()?.get("content")?.clone();
    if content_digest(values, probabilities) != expected {
        return None;
    }
    let floats =
        |bytes: &[u8]| bytes.as_chunks::<4>().0.iter().map(|word| f32::from_le_bytes(*word)).collect();
    Some(Chunk { values: floats(values), probabilities: floats(probabilities) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_back_and_damage_is_found() {
        let folder = tempfile::tempdir().unwrap();
        let cache = Cache::new(&folder.path().join("features"));
        let key = Digest::of(b"key");
        assert!(matches!(cache.read(&key, 2, 3, 0), Err(Miss::Absent)));
        let chunk = Chunk { values: vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.5], probabilities: vec![] };
        cache.write(&key, &chunk, 2).unwrap();
        assert_eq!(cache.read(&key, 2, 3, 0).ok(), Some(chunk));
        assert!(matches!(cache.read(&key, 3, 2, 0), Err(Miss::Damaged(_))), "another shape");
        let path = cache.path(&key);
        let mut bytes = fs::read(&path).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&path, bytes).unwrap();
        assert!(matches!(cache.read(&key, 2, 3, 0), Err(Miss::Damaged(_))));
    }
}

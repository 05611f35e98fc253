//! One shard: a safetensors file, made in memory and read by memory map.

use std::fs::File;
use std::path::{Path, PathBuf};

use memmap2::Mmap;
use safetensors::tensor::{Dtype, Metadata, SafeTensors, TensorView};
use synthmr_core::files::at;
use synthmr_core::limits;
use synthmr_core::records::StoreManifest;

use super::StoreError;

/// The slices of one shard while it is written.
#[derive(Default)]
pub(super) struct ShardBuffer {
    /// `[n, C, H, W]`.
    pub(super) images: Vec<u8>,
    /// `[n, H, W]`.
    pub(super) labels: Vec<u8>,
    /// `[n]`, little endian.
    pub(super) subject: Vec<u8>,
    /// `[n]`, little endian.
    pub(super) slice: Vec<u8>,
}

impl ShardBuffer {
    /// Slices so far.
    pub(super) fn len(&self) -> usize {
        self.slice.len() / size_of::<i32>()
    }

    /// The shard's file for images of `channels` x `height` x `width`.
    pub(super) fn serialize(
        &self,
        channels: usize,
        height: usize,
        width: usize,
    ) -> Result<Vec<u8>, safetensors::SafeTensorError> {
        let n = self.len();
        let tensors = [
            ("images", TensorView::new(Dtype::U8, vec![n, channels, height, width], &self.images)?),
            ("labels", TensorView::new(Dtype::U8, vec![n, height, width], &self.labels)?),
            ("subject", TensorView::new(Dtype::I32, vec![n], &self.subject)?),
            ("slice", TensorView::new(Dtype::I32, vec![n], &self.slice)?),
        ];
        safetensors::serialize(tensors, None)
    }

    /// Forgets the slices, keeps the memory.
    pub(super) fn clear(&mut self) {
        self.images.clear();
        self.labels.clear();
        self.subject.clear();
        self.slice.clear();
    }
}

/// A shard opened for reading.
#[derive(Debug)]
pub(super) struct Shard {
    path: PathBuf,
    map: Mmap,
    /// Offset of `images` in the file.
    images: usize,
    /// Offset of `labels` in the file.
    labels: usize,
    /// Of each slice, -1 for none.
    pub(super) subject: Vec<i32>,
    /// Of each slice.
    pub(super) slice: Vec<i32>,
}

impl Shard {
    /// Maps the file and checks its header against the manifest: the four tensors, nothing else, of the
    /// right types and shapes. Pixels are not touched.
    pub(super) fn open(path: PathBuf, manifest: &StoreManifest, slices: usize) -> Result<Self, StoreError> {
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                return Err(StoreError::MissingShard { path });
            }
            Err(e) => return Err(at("read", &path)(e).into()),
        };
        let length = file.metadata().map_err(at("read", &path))?.len();
        if length < 8 {
            return Err(damaged(&path, format!("expected a safetensors file, found {length} bytes")));
        }
        #[expect(unsafe_code, reason = "mapping a file is the only way to read shards larger than memory")]
        // SAFETY: the map is read-only and private to this process's view; shards are written once under a
        // temporary name and never changed afterwards by synthmr. Another program that truncates a shard
        // while it is mapped makes reads fail with a signal, as with every memory map.
        let map = unsafe { Mmap::map(&file) }.map_err(at("map", &path))?;
        let (header_end, metadata) = read_header(&map).map_err(|message| damaged(&path, message))?;
        let (n, c) = (slices, manifest.channels.len());
        let (h, w) = (manifest.height, manifest.width);
        let tensor = |name: &str, dtype: Dtype, shape: &[usize]| {
            let info = metadata
                .info(name)
                .ok_or_else(|| damaged(&path, format!("expected a tensor `{name}`, found none")))?;
            if info.dtype != dtype || info.shape != shape {
                return Err(damaged(
                    &path,
                    format!(
                        "`{name}`: expected {dtype:?} {shape:?}, found {:?} {:?}",
                        info.dtype, info.shape
                    ),
                ));
            }
            Ok(header_end + info.data_offsets.0..header_end + info.data_offsets.1)
        };
        let images = tensor("images", Dtype::U8, &[n, c, h, w])?;
        let labels = tensor("labels", Dtype::U8, &[n, h, w])?;
        let subject = tensor("subject", Dtype::I32, &[n])?;
        let slice = tensor("slice", Dtype::I32, &[n])?;
        if metadata.tensors().len() != 4 {
            return Err(damaged(&path, format!("expected 4 tensors, found {}", metadata.tensors().len())));
        }
        let integers = |bytes: &[u8]| -> Vec<i32> {
            bytes.as_chunks::<4>().0.iter().map(|word| i32::from_le_bytes(*word)).collect()
        };
        let (subject, slice) = (integers(&map[subject]), integers(&map[slice]));
        Ok(Self { path, images: images.start, labels: labels.start, map, subject, slice })
    }

    /// The shard's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// All bytes of the file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.map
    }

    /// The images of slice `i`, `stride` bytes.
    pub(super) fn image(&self, i: usize, stride: usize) -> &[u8] {
        let start = self.images + i * stride;
        &self.map[start..start + stride]
    }

    /// The label map of slice `i`, `stride` bytes.
    pub(super) fn label(&self, i: usize, stride: usize) -> &[u8] {
        let start = self.labels + i * stride;
        &self.map[start..start + stride]
    }
}

/// The end of the header and what it says. The reader of the format checks that the tensors tile the rest
/// of the file without holes or overlaps.
fn read_header(bytes: &[u8]) -> Result<(usize, Metadata), String> {
    let mut length = [0u8; 8];
    length.copy_from_slice(&bytes[..8]);
    let length = u64::from_le_bytes(length);
    if length > limits::SAFETENSORS_HEADER_BYTES || length > bytes.len() as u64 - 8 {
        return Err(format!(
            "expected a header of at most {} bytes, found a length of {length}",
            limits::SAFETENSORS_HEADER_BYTES.min(bytes.len() as u64 - 8)
        ));
    }
    let (length, metadata) = SafeTensors::read_metadata(bytes)
        .map_err(|e| format!("expected a safetensors header that covers the file, found: {e}"))?;
    Ok((8 + length, metadata))
}

/// A [`StoreError::DamagedShard`].
pub(super) fn damaged(path: &Path, message: String) -> StoreError {
    StoreError::DamagedShard { path: path.to_owned(), message }
}

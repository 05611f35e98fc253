//! The whole state of a run in one safetensors file.
//!
//! Weights, averages and moments are tensors; counters and small state are in the header's `__metadata__`
//! beside the schema, the digest of the configuration and a digest of everything. Any safetensors reader
//! opens the file. It is written through [`files::write_with`], so it is absent, old or complete, and a
//! file that was damaged later is found by its digest before a value of it is used.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use synthmr_core::files::{self, Access, FileError, at};
use synthmr_core::ids::Digester;
use synthmr_core::records::SCHEMA;
use synthmr_core::{Digest, limits};
use tch::{Device, Kind, Tensor};

/// What `__metadata__.format` says in our files.
const FORMAT: &str = "synthmr-checkpoint";

/// Why a checkpoint cannot be written or read.
#[derive(Debug, thiserror::Error)]
pub enum CheckpointError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] FileError),
    /// The file is not a checkpoint of synthmr.
    #[error(
        "{path} is not a checkpoint: expected {expected}, found {found}\n\
         hint: checkpoints are in the `checkpoints` folder of a run"
    )]
    Foreign {
        /// The file.
        path: PathBuf,
        /// What a checkpoint has there.
        expected: String,
        /// What this file has there.
        found: String,
    },
    /// The file was a checkpoint once.
    #[error(
        "{path} is damaged: expected {expected}, found {found}\n\
         hint: remove it, and the run continues from the checkpoint before it"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What an intact file has.
        expected: String,
        /// What this file has.
        found: String,
    },
    /// The file was written by another version.
    #[error(
        "{path}: expected schema {expected}, found {found}\nhint: use the version of synthmr that wrote it"
    )]
    Schema {
        /// The file.
        path: PathBuf,
        /// The schema that this version reads.
        expected: u32,
        /// The schema in the file.
        found: String,
    },
    /// The file belongs to a run with another configuration.
    #[error(
        "{path} belongs to another configuration: expected digest {}, found {}\n\
         hint: checkpoints cannot be moved between runs", expected.short(), found.short()
    )]
    Config {
        /// The file.
        path: PathBuf,
        /// Digest of this run's configuration.
        expected: Digest,
        /// Digest in the file.
        found: Digest,
    },
    /// A tensor of a kind that the format has no name for.
    #[error("{path}: cannot store tensor {name:?} of kind {kind:?}")]
    Kind {
        /// The file.
        path: PathBuf,
        /// Name of the tensor.
        name: String,
        /// Its kind.
        kind: Kind,
    },
}

/// Everything that a run needs to continue.
#[derive(Debug)]
pub struct Checkpoint {
    /// Training images shown so far.
    pub images_seen: u64,
    /// Small state: step counts, augmentation strength, best scores.
    pub state: serde_json::Value,
    /// Weights, averages, moments by name; on the CPU after reading.
    pub tensors: BTreeMap<String, Tensor>,
}

impl Checkpoint {
    /// Takes all tensors whose name begins with `prefix`, without it: the part of one network or optimiser.
    pub fn take(&mut self, prefix: &str) -> BTreeMap<String, Tensor> {
        let mut part = BTreeMap::new();
        for (name, tensor) in std::mem::take(&mut self.tensors) {
            match name.strip_prefix(prefix) {
                Some(rest) => part.insert(rest.to_owned(), tensor),
                None => self.tensors.insert(name, tensor),
            };
        }
        part
    }

    /// Writes the file atomically and returns the digest of its content. Tensors on the CPU are written from
    /// where they are, without a copy.
    ///
    /// # Errors
    /// [`CheckpointError::File`] when it cannot be written; an older file of this name is then untouched.
    pub fn write(&self, path: &Path, config: &Digest) -> Result<Digest, CheckpointError> {
        let mut parts = Vec::with_capacity(self.tensors.len());
        for (name, tensor) in &self.tensors {
            let kind = tensor.kind();
            let Some(dtype) = dtype_of(kind) else {
                return Err(CheckpointError::Kind { path: path.to_owned(), name: name.clone(), kind });
            };
            let tensor = tensor.detach().to_device(Device::Cpu).contiguous();
            parts.push((name.clone(), dtype, tensor));
        }
        // Wide types first, as the format's own writer does: every tensor is then aligned for its type.
        parts.sort_by_key(|(_, dtype, _)| std::cmp::Reverse(dtype.bitsize()));

        let state = self.state.to_string();
        let mut digester = begin_digest(self.images_seen, &state, config);
        let mut infos = Vec::with_capacity(parts.len());
        let mut offset = 0;
        for (name, dtype, tensor) in &parts {
            let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
            let bytes = bytes_of(tensor);
            let info = TensorInfo { dtype: *dtype, shape, data_offsets: (offset, offset + bytes.len()) };
            offset += bytes.len();
            add_to_digest(&mut digester, name, &info, bytes);
            infos.push((name.clone(), info));
        }
        let digest = digester.finish();
        // Written by hand: the format's own type keeps its metadata in no fixed order, and equal states are
        // to be equal files.
        let mut header = serde_json::Map::new();
        let metadata = serde_json::json!({
            "format": FORMAT,
            "schema": SCHEMA.to_string(),
            "images_seen": self.images_seen.to_string(),
            "state": state,
            "config": config.as_str(),
            "digest": digest.as_str(),
        });
        header.insert("__metadata__".to_owned(), metadata);
        files::write_with(path, Access::Shared, |w| {
            for (name, info) in &infos {
                header.insert(name.clone(), serde_json::to_value(info)?);
            }
            let mut header = serde_json::to_vec(&header)?;
            header.resize(header.len().next_multiple_of(8), b' ');
            w.write_all(&(header.len() as u64).to_le_bytes())?;
            w.write_all(&header)?;
            parts.iter().try_for_each(|(_, _, tensor)| w.write_all(bytes_of(tensor)))
        })?;
        Ok(digest)
    }

    /// Reads a file and verifies its digest; with `config`, also that it belongs to that configuration.
    /// Values go from the file to the tensors without a copy in between.
    ///
    /// # Errors
    /// [`CheckpointError`] naming the file, the expected and the found. Memory stays below the file's size.
    pub fn read(path: &Path, config: Option<&Digest>) -> Result<(Self, Digest), CheckpointError> {
        let mut file = File::open(path).map_err(at("read", path))?;
        let length = file.metadata().map_err(at("read", path))?.len();
        let Header { metadata, data_start } = read_header(path, &mut file, length)?;
        let identity = Identity::find(path, &metadata)?;
        if let Some(expected) = config.filter(|expected| **expected != identity.config) {
            return Err(CheckpointError::Config {
                path: path.to_owned(),
                expected: expected.clone(),
                found: identity.config,
            });
        }
        let mut infos: Vec<(String, &TensorInfo)> = metadata.tensors().into_iter().collect();
        // The order in which they were written, also where empty tensors share an offset.
        infos.sort_by_key(|(name, info)| {
            (info.data_offsets, std::cmp::Reverse(info.dtype.bitsize()), name.clone())
        });
        let end = infos.last().map_or(0, |(_, info)| info.data_offsets.1 as u64);
        if data_start + end != length {
            return Err(damaged(path, format!("{} bytes", data_start + end), format!("{length} bytes")));
        }
        let mut digester = begin_digest(identity.images_seen, &identity.state, &identity.config);
        let mut tensors = BTreeMap::new();
        for (name, info) in infos {
            let Some(kind) = kind_of(info.dtype) else {
                return Err(damaged(
                    path,
                    "tensors of the kinds that synthmr writes",
                    format!("{:?}", info.dtype),
                ));
            };
            let shape: Vec<i64> = info.shape.iter().map(|&n| n as i64).collect();
            let mut tensor = Tensor::f_empty(shape, (kind, Device::Cpu))
                .map_err(|e| damaged(path, "a shape that fits in memory", e.to_string()))?;
            let bytes = bytes_of_mut(&mut tensor);
            file.read_exact(bytes).map_err(at("read", path))?;
            add_to_digest(&mut digester, &name, info, bytes);
            tensors.insert(name, tensor);
        }
        let digest = digester.finish();
        if digest != identity.digest {
            let message = |digest: &Digest| format!("content with digest {}", digest.short());
            return Err(damaged(path, message(&identity.digest), message(&digest)));
        }
        let state = serde_json::from_str(&identity.state)
            .map_err(|e| damaged(path, "a state in JSON", e.to_string()))?;
        Ok((Self { images_seen: identity.images_seen, state, tensors }, digest))
    }
}

fn damaged(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> CheckpointError {
    CheckpointError::Damaged { path: path.to_owned(), expected: expected.into(), found: found.into() }
}

fn foreign(path: &Path, expected: impl Into<String>, found: impl Into<String>) -> CheckpointError {
    CheckpointError::Foreign { path: path.to_owned(), expected: expected.into(), found: found.into() }
}

struct Header {
    metadata: Metadata,
    data_start: u64,
}

/// Reads the header within its bounds. The format's own types check that tensors tile the data without
/// holes or overlaps and that their sizes fit their shapes.
fn read_header(path: &Path, file: &mut File, length: u64) -> Result<Header, CheckpointError> {
    let mut prefix = [0u8; 8];
    if length < 8 {
        return Err(foreign(path, "a safetensors file", format!("{length} bytes")));
    }
    file.read_exact(&mut prefix).map_err(at("read", path))?;
    let size = u64::from_le_bytes(prefix);
    let limit = limits::SAFETENSORS_HEADER_BYTES.min(length - 8);
    if size > limit {
        let found = format!("a header length of {size}");
        return Err(foreign(path, format!("a header of at most {limit} bytes"), found));
    }
    let mut header = vec![0u8; size as usize];
    file.read_exact(&mut header).map_err(at("read", path))?;
    let metadata: Metadata = serde_json::from_slice(&header)
        .map_err(|e| foreign(path, "a safetensors header whose tensors tile the data", e.to_string()))?;
    Ok(Header { metadata, data_start: 8 + size })
}

/// What the metadata says about the file.
struct Identity {
    images_seen: u64,
    state: String,
    config: Digest,
    digest: Digest,
}

impl Identity {
    fn find(path: &Path, metadata: &Metadata) -> Result<Self, CheckpointError> {
        let empty = HashMap::new();
        let values = metadata.metadata().as_ref().unwrap_or(&empty);
        let format = values.get("format").map_or("no format", String::as_str);
        if format != FORMAT {
            return Err(foreign(path, format!("the format {FORMAT:?} in the header"), format!("{format:?}")));
        }
        let value = |key: &str| {
            values.get(key).ok_or_else(|| damaged(path, format!("{key:?} in the header"), "none"))
        };
        let schema = value("schema")?;
        if *schema != SCHEMA.to_string() {
            return Err(CheckpointError::Schema {
                path: path.to_owned(),
                expected: SCHEMA,
                found: schema.clone(),
            });
        }
        let images_seen = value("images_seen")?;
        let digest = |key: &str| {
            Digest::try_from(value(key)?.clone()).map_err(|e| damaged(path, "a digest", e.to_string()))
        };
        Ok(Self {
            images_seen: images_seen
                .parse()
                .map_err(|_| damaged(path, "a number of images", format!("{images_seen:?}")))?,
            state: value("state")?.clone(),
            config: digest("config")?,
            digest: digest("digest")?,
        })
    }
}

fn begin_digest(images_seen: u64, state: &str, config: &Digest) -> Digester {
    let mut digester = Digester::new();
    digester.add(&images_seen.to_le_bytes()).add(state.as_bytes()).add(config.as_str().as_bytes());
    digester
}

fn add_to_digest(digester: &mut Digester, name: &str, info: &TensorInfo, bytes: &[u8]) {
    let form = format!("{:?} {:?}", info.dtype, info.shape);
    digester.add(name.as_bytes()).add(form.as_bytes()).add(bytes);
}

fn dtype_of(kind: Kind) -> Option<Dtype> {
    Some(match kind {
        Kind::Float => Dtype::F32,
        Kind::Double => Dtype::F64,
        Kind::BFloat16 => Dtype::BF16,
        Kind::Half => Dtype::F16,
        Kind::Int64 => Dtype::I64,
        Kind::Int => Dtype::I32,
        Kind::Uint8 => Dtype::U8,
        _ => return None,
    })
}

fn kind_of(dtype: Dtype) -> Option<Kind> {
    Some(match dtype {
        Dtype::F32 => Kind::Float,
        Dtype::F64 => Kind::Double,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F16 => Kind::Half,
        Dtype::I64 => Kind::Int64,
        Dtype::I32 => Kind::Int,
        Dtype::U8 => Kind::Uint8,
        _ => return None,
    })
}

/// The values of a contiguous tensor on the CPU as they lie in memory (little endian on every platform that
/// libtorch supports).
#[expect(unsafe_code, reason = "libtorch gives the values of a tensor as a pointer")]
fn bytes_of(tensor: &Tensor) -> &[u8] {
    let size = tensor.numel() * tensor.kind().elt_size_in_bytes();
    assert!(tensor.device() == Device::Cpu && tensor.is_contiguous(), "the caller made it so");
    if size == 0 {
        return &[];
    }
    // SAFETY: a contiguous CPU tensor holds `size` initialised bytes at `data_ptr`; the tensor is borrowed
    // for as long as the slice lives, and nothing trains while a checkpoint is written.
    unsafe { std::slice::from_raw_parts(tensor.data_ptr().cast::<u8>(), size) }
}

/// As [`bytes_of`], for a tensor that nobody else holds.
#[expect(unsafe_code, reason = "libtorch gives the values of a tensor as a pointer")]
fn bytes_of_mut(tensor: &mut Tensor) -> &mut [u8] {
    let size = tensor.numel() * tensor.kind().elt_size_in_bytes();
    assert!(tensor.device() == Device::Cpu && tensor.is_contiguous(), "it was just made");
    if size == 0 {
        return &mut [];
    }
    // SAFETY: as in `bytes_of`; the tensor was just made, so no other handle shares its storage. Any byte
    // pattern is a value of the kinds of `kind_of`, and the memory is only written through this slice.
    unsafe { std::slice::from_raw_parts_mut(tensor.data_ptr().cast::<u8>(), size) }
}

#[cfg(test)]
mod tests;

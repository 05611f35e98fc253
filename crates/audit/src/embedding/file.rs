//! An embedding as a file: weights in safetensors, in the header how it was trained and a digest of everything.
//!
//! The weights were made from patients and are kept as their images are.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use synthmr_core::Digest;
use synthmr_core::files::{self, Access, FileError, at};
use synthmr_core::ids::Digester;
use synthmr_core::records::SCHEMA;
use synthmr_nets::engine::Precision;
use synthmr_nets::features::CopyEmbeddingNet;
use tch::{Device, Tensor};

use super::{Embedding, EmbeddingConfig, EmbeddingError};

/// What `__metadata__.format` says in our files.
const FORMAT: &str = "synthmr-copy-embedding";

/// Largest file that is read: 40 times the default network.
const FILE_BYTES: u64 = 128 << 20;

impl Embedding {
    /// Writes the embedding, for the owner's eyes only.
    ///
    /// # Errors
    /// [`EmbeddingError::File`]; an older file of this name is then untouched.
    pub fn save(&self, path: &Path) -> Result<(), EmbeddingError> {
        let tensors = self.net.parameters.all().map(|(name, tensor)| {
            let values =
                Vec::<f32>::try_from(tensor.flatten(0, -1).to_device(Device::Cpu)).unwrap_or_default();
            let shape: Vec<usize> = tensor.size().iter().map(|&n| n as usize).collect();
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            (name.to_owned(), shape, bytes)
        });
        let tensors: Vec<(String, Vec<usize>, Vec<u8>)> = tensors.collect();
        let header = Header {
            config: serde_json::to_string(&self.config).unwrap_or_default(),
            channels: self.channels.to_string(),
            data: self.data.to_string(),
        };
        let digest = header.digest(tensors.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice())));
        let refused = |e: safetensors::SafeTensorError| FileError::Document {
            path: path.to_owned(),
            message: e.to_string(),
        };
        let views: Result<Vec<(&str, TensorView<'_>)>, FileError> = tensors
            .iter()
            .map(|(name, shape, bytes)| {
                Ok((name.as_str(), TensorView::new(Dtype::F32, shape.clone(), bytes).map_err(refused)?))
            })
            .collect();
        let bytes = safetensors::serialize(views?, Some(header.metadata(&digest))).map_err(refused)?;
        files::write_with(path, Access::Private, |w| w.write_all(&bytes))?;
        Ok(())
    }

    /// Reads what [`Self::save`] wrote.
    ///
    /// # Errors
    /// [`EmbeddingError`] naming the file, what was expected and what was found.
    pub fn load(path: &Path, device: Device) -> Result<Self, EmbeddingError> {
        let foreign = |expected: &str, found: String| EmbeddingError::Foreign {
            path: path.to_owned(),
            expected: expected.to_owned(),
            found,
        };
        let mut bytes = Vec::new();
        let file = File::open(path).map_err(at("read", path))?;
        file.take(FILE_BYTES + 1).read_to_end(&mut bytes).map_err(at("read", path))?;
        if bytes.len() as u64 > FILE_BYTES {
            return Err(foreign(&format!("at most {FILE_BYTES} bytes"), "more".into()));
        }
        let unreadable = |e: safetensors::SafeTensorError| foreign("a safetensors file", e.to_string());
        let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(unreadable)?;
        let values = metadata.metadata().clone().unwrap_or_default();
        let tensors = SafeTensors::deserialize(&bytes).map_err(unreadable)?;
        let value = |key: &str| {
            values.get(key).cloned().ok_or_else(|| foreign(&format!("{key:?} in the header"), "none".into()))
        };
        let format = value("format")?;
        if format != FORMAT {
            return Err(foreign(&format!("the format {FORMAT:?}"), format!("{format:?}")));
        }
        let schema = value("schema")?;
        if schema != SCHEMA.to_string() {
            return Err(foreign(&format!("schema {SCHEMA}"), schema));
        }
        let header = Header { config: value("config")?, channels: value("channels")?, data: value("data")? };
        let mut views = tensors.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        let found = header.digest(views.iter().map(|(name, view)| (name.as_str(), view.data())));
        let digest = value("digest")?;
        if found.as_str() != digest {
            return Err(foreign(&format!("content with digest {digest}"), found.to_string()));
        }
        let config: EmbeddingConfig =
            serde_json::from_str(&header.config).map_err(|e| foreign("its settings", e.to_string()))?;
        config.validate()?;
        let channels = header.channels.parse::<i64>().ok().filter(|channels| (1..=32).contains(channels));
        let channels = channels.ok_or_else(|| foreign("1 to 32 channels", header.channels.clone()))?;
        let data = Digest::try_from(header.data).map_err(|e| foreign("a digest", e.to_string()))?;
        let mut weights = BTreeMap::new();
        for (name, view) in views {
            if view.dtype() != Dtype::F32 {
                return Err(foreign("weights in F32", format!("{:?}", view.dtype())));
            }
            let words = view.data().as_chunks::<4>().0;
            let floats: Vec<f32> = words.iter().map(|word| f32::from_le_bytes(*word)).collect();
            let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
            weights.insert(name, Tensor::from_slice(&floats).view(shape.as_slice()));
        }
        let net = CopyEmbeddingNet::new(&config.sizes(channels), 0, device, Precision::F32);
        let loaded = net.parameters.load(&weights);
        loaded.map_err(|source| EmbeddingError::Weights { path: path.to_owned(), source })?;
        net.parameters.set_requires_grad(false);
        Ok(Self { config, channels, data, net, device })
    }
}

/// What the header says beside the format.
struct Header {
    config: String,
    channels: String,
    data: String,
}

impl Header {
    /// Of the header and all tensors, which come in the order of their names.
    fn digest<'a>(&self, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> Digest {
        let mut digester = Digester::new();
        digester.add(self.config.as_bytes()).add(self.channels.as_bytes()).add(self.data.as_bytes());
        let mut tensors: Vec<(&str, &[u8])> = tensors.collect();
        tensors.sort_by_key(|(name, _)| *name);
        for (name, bytes) in tensors {
            digester.add(name.as_bytes()).add(bytes);
        }
        digester.finish()
    }

    fn metadata(&self, digest: &Digest) -> HashMap<String, String> {
        let entries = [
            ("format", FORMAT.to_owned()),
            ("schema", SCHEMA.to_string()),
            ("config", self.config.clone()),
            ("channels", self.channels.clone()),
            ("data", self.data.clone()),
            ("digest", digest.to_string()),
        ];
        entries.map(|(key, value)| (key.to_owned(), value)).into()
    }
}

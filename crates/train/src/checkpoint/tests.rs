use std::fs;

use super::*;

fn example() -> Checkpoint {
    let float = Tensor::from_slice(&[1.5f32, -0.0, f32::MIN_POSITIVE, 3.0, 4.0]);
    let tensors = BTreeMap::from([
        ("ema.weight".to_owned(), float.to_kind(Kind::Double).view([5, 1])),
        ("generator.weight".to_owned(), float.shallow_clone()),
        ("generator.scale".to_owned(), float.to_kind(Kind::BFloat16)),
        ("generator.nothing".to_owned(), Tensor::zeros([0, 7], (Kind::Float, Device::Cpu))),
        ("order".to_owned(), Tensor::from_slice(&[i64::MIN, 7])),
        ("images".to_owned(), Tensor::from_slice(&[0u8, 255, 3]).view([3, 1])),
        ("transposed".to_owned(), Tensor::from_slice(&[1f32, 2.0, 3.0, 4.0]).view([2, 2]).tr()),
    ]);
    Checkpoint { images_seen: 4_200, state: serde_json::json!({ "ada": 0.1, "steps": 131 }), tensors }
}

fn config() -> Digest {
    Digest::of(b"configuration")
}

/// A folder with the example in `a.safetensors`.
fn written() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.safetensors");
    example().write(&path, &config()).unwrap();
    (folder, path)
}

#[test]
fn everything_comes_back_to_the_bit() {
    let (_folder, path) = written();
    let before = example();
    let (after, digest) = Checkpoint::read(&path, Some(&config())).unwrap();
    assert_eq!((after.images_seen, &after.state), (before.images_seen, &before.state));
    assert!(after.tensors.keys().eq(before.tensors.keys()));
    for (name, tensor) in &after.tensors {
        let expected = before.tensors[name].contiguous();
        assert_eq!((tensor.kind(), tensor.size()), (expected.kind(), expected.size()), "{name}");
        assert_eq!(bytes_of(tensor), bytes_of(&expected), "{name}");
    }
    let bytes = fs::read(&path).unwrap();
    assert_eq!(before.write(&path, &config()).unwrap(), digest);
    assert_eq!(fs::read(&path).unwrap(), bytes, "equal states are equal files");
}

#[test]
fn other_readers_of_the_format_open_it() {
    let (_folder, path) = written();
    let bytes = fs::read(&path).unwrap();
    let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(file.tensor("images").unwrap().data(), [0, 255, 3]);
    assert_eq!(file.len(), 7);
}

#[test]
fn a_part_is_taken_by_its_prefix() {
    let mut checkpoint = example();
    let generator: Vec<String> = checkpoint.take("generator.").into_keys().collect();
    assert_eq!(generator, ["nothing", "scale", "weight"]);
    assert_eq!(checkpoint.tensors.len(), 4);
}

#[test]
fn any_changed_or_missing_byte_is_found() {
    let (_folder, path) = written();
    let bytes = fs::read(&path).unwrap();
    for position in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[position] ^= 0x01;
        fs::write(&path, &changed).unwrap();
        match Checkpoint::read(&path, None) {
            Err(error) => assert!(error.to_string().contains("a.safetensors"), "{error}"),
            // The padding after the header's JSON, and white space within it, carry no meaning.
            Ok(_) => panic!("a change of byte {position} was not found"),
        }
    }
    for length in (0..bytes.len()).step_by(7) {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(Checkpoint::read(&path, None).is_err(), "a file cut at {length} was read");
    }
    fs::write(&path, [&bytes[..], b"x"].concat()).unwrap();
    let message = Checkpoint::read(&path, None).unwrap_err().to_string();
    assert!(message.contains("damaged") && message.contains("hint:"), "{message}");
}

/// A file with this header and `data` bytes after it.
fn with_header(header: &str, data: usize) -> Vec<u8> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend_from_slice(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    bytes
}

#[test]
fn rejects_headers_out_of_bounds() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("b.safetensors");
    let huge = [&(1u64 << 63).to_le_bytes()[..], b"{}"].concat();
    let overlap = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}"#;
    let hole = r#"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}"#;
    let shape = r#"{"a":{"dtype":"F32","shape":[9223372036854775807,9],"data_offsets":[0,4]}}"#;
    let files = [huge, with_header(overlap, 4), with_header(hole, 8), with_header(shape, 4), Vec::new()];
    for bytes in files {
        fs::write(&path, &bytes).unwrap();
        let error = Checkpoint::read(&path, None).unwrap_err();
        assert!(matches!(error, CheckpointError::Foreign { .. }), "{error}");
    }
}

#[test]
fn foreign_future_and_misplaced_files_are_named() {
    let (folder, path) = written();
    let message = Checkpoint::read(&path, Some(&Digest::of(b"other"))).unwrap_err().to_string();
    assert!(message.contains("another configuration"), "{message}");

    let weights = folder.path().join("weights.safetensors");
    fs::write(&weights, with_header(r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}"#, 2)).unwrap();
    let message = Checkpoint::read(&weights, None).unwrap_err().to_string();
    assert!(message.contains("synthmr-checkpoint") && message.contains("no format"), "{message}");

    let future = r#"{"__metadata__":{"format":"synthmr-checkpoint","schema":"99"}}"#;
    fs::write(&weights, with_header(future, 0)).unwrap();
    let message = Checkpoint::read(&weights, None).unwrap_err().to_string();
    assert!(message.contains("expected schema 1, found 99"), "{message}");
}

#[test]
fn a_kind_without_a_name_in_the_format_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("c.safetensors");
    let complex = Tensor::zeros([1], (Kind::ComplexFloat, Device::Cpu));
    let tensors = BTreeMap::from([("spectrum".to_owned(), complex)]);
    let checkpoint = Checkpoint { images_seen: 0, state: serde_json::Value::Null, tensors };
    assert!(matches!(checkpoint.write(&path, &config()), Err(CheckpointError::Kind { .. })));
    assert!(!path.exists());
}

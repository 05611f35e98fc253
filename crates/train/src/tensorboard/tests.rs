use std::collections::BTreeMap;
use std::fs;

use super::*;

/// Written by `tensorboard` 2.21.0 (`tensorboard.summary.writer.record_writer.RecordWriter` around
/// `tensorboard.compat.proto.event_pb2.Event`) from the version event and the two ticks of [`ticks`].
const GOLDEN: &str = "0f000000000000006d532b091a0d627261696e2e4576656e743a32fc9851292800000000000000ff70164a\
    0900002040fc54d94110ac022a1a0a0b0a046c6f7373150000803e0a0b0a0472617465156f12833a3202533e1c0000000000\
    0000c8c1951d0900006040fc54d94110f0a2042a0d0a0b0a046c6f737315000020c05aaf78b8";

fn ticks() -> [(f64, Tick); 2] {
    let values = |pairs: &[(&str, f64)]| -> BTreeMap<String, f64> {
        pairs.iter().map(|&(name, value)| (name.to_owned(), value)).collect()
    };
    [
        (1_700_000_000.5, Tick { images_seen: 300, values: values(&[("loss", 0.25), ("rate", 1e-3)]) }),
        (1_700_000_001.5, Tick { images_seen: 70_000, values: values(&[("loss", -2.5)]) }),
    ]
}

fn write(path: &Path, from: u64) {
    let mut log = EventLog::open(path, from).unwrap();
    for (seconds, tick) in ticks().iter().filter(|(_, tick)| tick.images_seen > from) {
        log.append(*seconds, tick).unwrap();
    }
}

#[test]
fn the_file_is_what_tensorboard_itself_writes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    write(&path, 0);
    let found: String = fs::read(&path).unwrap().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(found, GOLDEN.replace(' ', ""));
}

#[test]
fn records_after_the_resumed_step_and_torn_or_damaged_ones_are_dropped() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("events");
    write(&path, 0);
    let complete = fs::read(&path).unwrap();
    let (_, version) = first_record(&complete).unwrap();
    for resumed_from in [0, 299, 300, 69_999, 70_000] {
        write(&path, resumed_from);
        assert_eq!(fs::read(&path).unwrap(), complete, "resumed from {resumed_from}");
    }
    for length in 0..complete.len() {
        let kept = prefix(&complete[..length], u64::MAX);
        assert!(kept <= length && (kept == 0 || kept >= version), "a cut at {length} kept {kept}");
    }
    for position in 0..complete.len() {
        let mut damaged = complete.clone();
        damaged[position] ^= 0x10;
        assert!(prefix(&damaged, u64::MAX) <= position, "a change of byte {position} was kept");
    }
}

//! Scalar curves in TensorBoard's event format.
//!
//! A file is a sequence of TFRecords: length (u64), masked CRC-32C of the length, data, masked CRC-32C of the
//! data (`tensorflow/core/lib/io/record_writer.h`). The data is an `Event` message
//! (`tensorflow/core/util/event.proto`): wall time, step, and a summary of tagged values. Only the fields
//! that scalar curves need are written, by hand: two messages do not justify a protobuf compiler.

use std::path::Path;

use synthmr_core::files::{AppendLog, FileError};
use synthmr_core::records::Tick;

/// The version that the first event of a file states.
const FILE_VERSION: &str = "brain.Event:2";

/// An event file that grows by a record a tick.
#[derive(Debug)]
pub(crate) struct EventLog {
    log: AppendLog,
}

impl EventLog {
    /// Opens or creates the file and keeps the whole records up to step `images_seen`: what a run that
    /// continues from there is not going to repeat.
    pub(crate) fn open(path: &Path, images_seen: u64) -> Result<Self, FileError> {
        let mut kept = 0;
        let mut log = AppendLog::open_keeping(path, |bytes| {
            kept = prefix(bytes, images_seen);
            kept
        })?;
        if kept == 0 {
            log.append(&framed(&version_event()))?;
        }
        Ok(Self { log })
    }

    /// Appends the values of a tick, at `wall_seconds` since 1970.
    pub(crate) fn append(&mut self, wall_seconds: f64, tick: &Tick) -> Result<(), FileError> {
        self.log.append(&framed(&tick_event(wall_seconds, tick)))
    }
}

/// Length of the longest prefix of intact records whose step is at most `last_step`.
fn prefix(bytes: &[u8], last_step: u64) -> usize {
    let mut kept = 0;
    while let Some((data, length)) = first_record(&bytes[kept..]) {
        if step_of(data).is_none_or(|step| step > last_step) {
            break;
        }
        kept += length;
    }
    kept
}

/// The data of the record that `bytes` begins with, and the length of the whole record.
fn first_record(bytes: &[u8]) -> Option<(&[u8], usize)> {
    let (length_bytes, rest) = bytes.split_first_chunk::<8>()?;
    let (length_crc, rest) = rest.split_first_chunk::<4>()?;
    let length = usize::try_from(u64::from_le_bytes(*length_bytes)).ok()?;
    let data = rest.get(..length)?;
    let (data_crc, _) = rest[length..].split_first_chunk::<4>()?;
    let intact = u32::from_le_bytes(*length_crc) == masked_crc(length_bytes)
        && u32::from_le_bytes(*data_crc) == masked_crc(data);
    intact.then_some((data, length + 16))
}

/// The step of an event as this module writes it: after the wall time's key and eight bytes. The version
/// event has neither, which means 0.
fn step_of(event: &[u8]) -> Option<u64> {
    let after_time = if event.first() == Some(&0x09) { event.get(9..)? } else { event };
    let Some((&0x10, varint)) = after_time.split_first() else { return Some(0) };
    let mut step = 0u64;
    for (i, byte) in varint.iter().enumerate().take(10) {
        step |= u64::from(byte & 0x7f) << (7 * i);
        if byte & 0x80 == 0 {
            return Some(step);
        }
    }
    None
}

/// A record around `data`.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    let mut out = Vec::with_capacity(data.len() + 16);
    out.extend_from_slice(&length);
    out.extend_from_slice(&masked_crc(&length).to_le_bytes());
    out.extend_from_slice(data);
    out.extend_from_slice(&masked_crc(data).to_le_bytes());
    out
}

/// CRC-32C, rotated and offset, so that the checksum of data that holds checksums stays meaningful.
fn masked_crc(bytes: &[u8]) -> u32 {
    crc32c::crc32c(bytes).rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The first event of a file. It has no wall time, so that a file depends on the ticks alone.
fn version_event() -> Vec<u8> {
    let mut event = Message::default();
    event.bytes(3, FILE_VERSION.as_bytes());
    event.0
}

fn tick_event(wall_seconds: f64, tick: &Tick) -> Vec<u8> {
    let mut summary = Message::default();
    for (tag, &value) in &tick.values {
        let mut entry = Message::default();
        entry.bytes(1, tag.as_bytes());
        entry.float(2, value as f32);
        summary.bytes(1, &entry.0);
    }
    let mut event = Message::default();
    event.double(1, wall_seconds);
    event.varint(2, tick.images_seen);
    event.bytes(5, &summary.0);
    event.0
}

/// A protobuf message under construction: each method appends one field.
#[derive(Default)]
struct Message(Vec<u8>);

impl Message {
    fn key(&mut self, field: u8, wire_type: u8) {
        self.0.push(field << 3 | wire_type);
    }

    fn raw_varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }

    fn varint(&mut self, field: u8, value: u64) {
        self.key(field, 0);
        self.raw_varint(value);
    }

    fn double(&mut self, field: u8, value: f64) {
        self.key(field, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    fn bytes(&mut self, field: u8, value: &[u8]) {
        self.key(field, 2);
        self.raw_varint(value.len() as u64);
        self.0.extend_from_slice(value);
    }

    fn float(&mut self, field: u8, value: f32) {
        self.key(field, 5);
        self.0.extend_from_slice(&value.to_le_bytes());
    }
}

#[cfg(test)]
mod tests;

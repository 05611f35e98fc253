//! The bytes of a volume file, plain or gzip, in order and once. Whether a file is gzip is decided by its
//! first two bytes, never by its name.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use synthmr_core::files;
use synthmr_core::limits;

use super::error::{Fault, NiftiError, Part, read_error};
use super::gzip::{self, Gzip, StreamError};

/// Bytes read from disk at once.
const READ_BYTES: usize = 256 << 10;

const DAMAGED: &str = "the file is damaged or was cut off while being copied; copy it again";

enum Stream {
    Plain(BufReader<File>),
    Gzip(Box<Gzip>),
}

/// A file that is read from its first unpacked byte to its last.
pub(super) struct Source<'a> {
    path: &'a Path,
    stream: Stream,
    /// Bytes on disk.
    file_bytes: u64,
}

impl<'a> Source<'a> {
    /// Opens a regular file. A FIFO, socket or device is refused before it is opened: opening one can hang.
    pub(super) fn open(path: &'a Path) -> Result<Self, NiftiError> {
        let io = |error| read_error(path, error);
        let metadata = fs::metadata(path).map_err(io)?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" };
            let source = io::Error::other(format!("expected a regular file, found {found}"));
            return Err(NiftiError::File(files::at("read", path)(source)));
        }
        let mut reader = BufReader::with_capacity(READ_BYTES, File::open(path).map_err(io)?);
        let stream = if reader.fill_buf().map_err(io)?.starts_with(&gzip::MAGIC) {
            Stream::Gzip(Box::new(Gzip::new(reader).map_err(|error| stream_error(path, error))?))
        } else {
            Stream::Plain(reader)
        };
        Ok(Self { path, stream, file_bytes: metadata.len() })
    }

    /// Fills `out` as far as the file reaches and returns how far that is.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, NiftiError> {
        let mut filled = 0;
        while filled < out.len() {
            let rest = &mut out[filled..];
            let read = match &mut self.stream {
                Stream::Plain(reader) => reader.read(rest).map_err(StreamError::Io),
                Stream::Gzip(gzip) => gzip.read(rest),
            };
            match read {
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(StreamError::Io(e)) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(stream_error(self.path, error)),
            }
        }
        Ok(filled)
    }

    /// Refuses a header whose volume cannot be in this file, before memory is taken for it.
    ///
    /// `total_bytes` is the length of the unpacked file that the header declares.
    pub(super) fn check_declared(&self, total_bytes: u64) -> Result<(), NiftiError> {
        let (least, most) = if matches!(self.stream, Stream::Gzip(_)) {
            let free = limits::GZIP_FREE_BYTES;
            let least = total_bytes.saturating_sub(free) / limits::GZIP_RATIO;
            (least, total_bytes + total_bytes / 8 + free + limits::GZIP_PADDING_BYTES)
        } else {
            (total_bytes, total_bytes)
        };
        if (least..=most).contains(&self.file_bytes) {
            return Ok(());
        }
        let (expected, hint) = if self.file_bytes < least {
            (format!("at least {least} bytes for the declared volume"), DAMAGED)
        } else {
            (
                format!("at most {most} bytes for the declared volume"),
                "the header declares less than the file holds: it is damaged, or the file holds more than one volume",
            )
        };
        Err(Fault::new(Part::Data, "file length", expected, self.file_bytes.to_string(), hint).at(self.path))
    }

    /// Asserts that nothing follows the voxels.
    pub(super) fn finish(mut self) -> Result<(), NiftiError> {
        if self.fill(&mut [0])? == 0 {
            return Ok(());
        }
        Err(Fault::new(
            Part::Data,
            "after the voxels",
            "the end of the file",
            "more bytes",
            "the header declares less than the file holds: it is damaged, or the file holds more than one volume",
        )
        .at(self.path))
    }
}

fn stream_error(path: &Path, error: StreamError) -> NiftiError {
    match error {
        StreamError::Io(error) => read_error(path, error),
        StreamError::Fault(fault) => fault.at(path),
    }
}

/// What a reader says when the file ends inside `field`.
pub(super) fn cut_off(part: Part, field: &str, expected: u64, found: u64) -> Fault {
    Fault::new(
        part,
        field,
        format!("{expected} bytes"),
        format!("{found} before the end of the file"),
        DAMAGED,
    )
}

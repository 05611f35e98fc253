//! The bytes of a volume file, plain or gzip, in order and once. Whether a file is gzip is decided by its
//! first two bytes, never by its name.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::bufread::GzDecoder;
use synthmr_core::files;
use synthmr_core::limits;

use super::error::{Fault, NiftiError, Part, read_error};

/// Packed bytes read from disk at once.
const READ_BYTES: usize = 256 << 10;

const DAMAGED: &str = "the file is damaged or was cut off while being copied; copy it again";

enum Stream {
    Plain(BufReader<File>),
    Member(Box<GzDecoder<BufReader<File>>>),
    /// All members are read and checked.
    End,
}

/// A file that is read from its first unpacked byte to its last.
pub(super) struct Source<'a> {
    path: &'a Path,
    stream: Stream,
    members: usize,
    /// Bytes on disk.
    pub(super) file_bytes: u64,
    /// Whether it is a gzip stream.
    pub(super) gzip: bool,
}

impl<'a> Source<'a> {
    /// Opens a regular file. A FIFO, socket or device is refused before it is opened: opening one can hang.
    pub(super) fn open(path: &'a Path) -> Result<Self, NiftiError> {
        let metadata = fs::metadata(path).map_err(|e| read_error(path, e))?;
        if !metadata.is_file() {
            let found = if metadata.is_dir() { "a folder" } else { "a pipe, socket or device" };
            let source = io::Error::other(format!("expected a regular file, found {found}"));
            return Err(NiftiError::File(files::at("read", path)(source)));
        }
        let file = File::open(path).map_err(|e| read_error(path, e))?;
        let mut reader = BufReader::with_capacity(READ_BYTES, file);
        let gzip = reader.fill_buf().map_err(|e| read_error(path, e))?.starts_with(&[0x1f, 0x8b]);
        let stream =
            if gzip { Stream::Member(Box::new(GzDecoder::new(reader))) } else { Stream::Plain(reader) };
        Ok(Self { path, stream, members: 1, file_bytes: metadata.len(), gzip })
    }

    /// Fills `out` as far as the file reaches and returns how far that is.
    pub(super) fn fill(&mut self, out: &mut [u8]) -> Result<usize, NiftiError> {
        let mut filled = 0;
        while filled < out.len() {
            let read = match &mut self.stream {
                Stream::Plain(reader) => reader.read(&mut out[filled..]),
                Stream::Member(decoder) => decoder.read(&mut out[filled..]),
                Stream::End => Ok(0),
            };
            match read {
                Ok(0) if matches!(self.stream, Stream::Member(_)) => self.next_member()?,
                Ok(0) => break,
                Ok(n) => filled += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(self.stream_error(e)),
            }
        }
        Ok(filled)
    }

    /// After the last byte of a member, whose CRC-32 and length the decoder has checked: another member, the
    /// end, or zero bytes to the end (tapes and some file systems pad; gzip and Python ignore them).
    /// Anything else is refused, as Python does; gzip would only warn.
    fn next_member(&mut self) -> Result<(), NiftiError> {
        let Stream::Member(decoder) = std::mem::replace(&mut self.stream, Stream::End) else {
            return Ok(());
        };
        let mut reader = decoder.into_inner();
        let mut padding = 0;
        loop {
            let bytes = reader.fill_buf().map_err(|e| read_error(self.path, e))?;
            if bytes.is_empty() {
                return Ok(());
            }
            if padding == 0 && bytes[0] != 0 {
                break;
            }
            let zeros = bytes.iter().take_while(|&&byte| byte == 0).count();
            padding += zeros as u64;
            if zeros < bytes.len() || padding > limits::GZIP_PADDING_BYTES {
                let found =
                    if zeros < bytes.len() { "other bytes" } else { "more zero bytes than the limit" };
                return Err(self.garbage(found));
            }
            reader.consume(zeros);
        }
        if reader.buffer()[0] != 0x1f {
            return Err(self.garbage("other bytes"));
        }
        self.members += 1;
        if self.members > limits::GZIP_MEMBERS {
            return Err(self.gzip_fault(
                "gzip members",
                format!("at most {}", limits::GZIP_MEMBERS),
                "more".to_owned(),
                "unpack the file and pack it again",
            ));
        }
        self.stream = Stream::Member(Box::new(GzDecoder::new(reader)));
        Ok(())
    }

    fn garbage(&self, found: &str) -> NiftiError {
        self.gzip_fault(
            "after the gzip stream",
            "the end of the file".to_owned(),
            found.to_owned(),
            "unpack the file, look at it, and pack it again",
        )
    }

    fn gzip_fault(&self, field: &str, expected: String, found: String, hint: &'static str) -> NiftiError {
        Fault::new(Part::Gzip, field, expected, found, hint).at(self.path)
    }

    fn stream_error(&self, error: io::Error) -> NiftiError {
        if error.raw_os_error().is_some() || !self.gzip {
            return read_error(self.path, error);
        }
        let found = match error.kind() {
            io::ErrorKind::UnexpectedEof => "a stream that is cut off".to_owned(),
            _ => error.to_string(),
        };
        let expected = "a complete stream with matching CRC-32 and length".to_owned();
        self.gzip_fault("gzip stream", expected, found, DAMAGED)
    }

    /// Refuses a header whose volume cannot be in this file, before memory is taken for it.
    ///
    /// `total_bytes` is the length of the unpacked file that the header declares.
    pub(super) fn check_declared(&self, total_bytes: u64) -> Result<(), NiftiError> {
        let (least, most) = if self.gzip {
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

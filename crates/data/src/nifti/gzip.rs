//! The gzip format (RFC 1952) around a DEFLATE stream: members, checksums, and what may follow them.
//!
//! flate2's own gzip reader spends a quarter of its time on the checksum; `crc32fast` needs a third of that.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};

use crc32fast::Hasher;
use flate2::{Decompress, FlushDecompress, Status};
use synthmr_core::limits;

use super::error::{Fault, Part};

const DAMAGED: &str = "the file is damaged or was cut off while being copied; copy it again";

/// The first two bytes of a gzip stream.
pub(super) const MAGIC: [u8; 2] = [0x1f, 0x8b];

/// Flags of a member's header.
const HEADER_CRC: u8 = 2;
const EXTRA: u8 = 4;
const NAME: u8 = 8;
const COMMENT: u8 = 16;
const RESERVED: u8 = 0xe0;

/// Longest name or comment in a member's header; real ones are file names.
const TEXT_BYTES: u64 = 64 << 10;

/// Why a stream cannot be read on.
pub(super) enum StreamError {
    Io(io::Error),
    Fault(Fault),
}

impl From<io::Error> for StreamError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<Fault> for StreamError {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

fn fault(field: &str, expected: impl Into<String>, found: impl Into<String>) -> Fault {
    Fault::new(Part::Gzip, field, expected, found, DAMAGED)
}

fn cut_off() -> Fault {
    fault("gzip stream", "a complete stream", "a stream that is cut off")
}

/// Reads all members of a gzip file as one stream.
pub(super) struct Gzip {
    reader: BufReader<File>,
    inflate: Decompress,
    /// Of the present member: checksum and length, modulo 2^32.
    crc: Hasher,
    length: u32,
    members: usize,
    ended: bool,
}

impl Gzip {
    /// Begins at the first member's header.
    pub(super) fn new(mut reader: BufReader<File>) -> Result<Self, StreamError> {
        skip_header(&mut reader)?;
        let inflate = Decompress::new(false);
        Ok(Self { reader, inflate, crc: Hasher::new(), length: 0, members: 1, ended: false })
    }

    /// Unpacks into `out`, which is not empty; 0 after the last member, when everything has been checked.
    pub(super) fn read(&mut self, out: &mut [u8]) -> Result<usize, StreamError> {
        while !self.ended {
            let packed = self.reader.fill_buf()?;
            if packed.is_empty() {
                return Err(cut_off().into());
            }
            let before = (self.inflate.total_in(), self.inflate.total_out());
            let status = self
                .inflate
                .decompress(packed, out, FlushDecompress::None)
                .map_err(|error| fault("gzip stream", "DEFLATE data", error.to_string()))?;
            let consumed = (self.inflate.total_in() - before.0) as usize;
            let produced = (self.inflate.total_out() - before.1) as usize;
            self.reader.consume(consumed);
            self.crc.update(&out[..produced]);
            self.length = self.length.wrapping_add(produced as u32);
            if status == Status::StreamEnd {
                self.check_trailer()?;
                self.next_member()?;
            } else if consumed == 0 && produced == 0 {
                return Err(fault("gzip stream", "DEFLATE data", "a stream that does not go on").into());
            }
            if produced > 0 {
                return Ok(produced);
            }
        }
        Ok(0)
    }

    fn check_trailer(&mut self) -> Result<(), StreamError> {
        let trailer: [u8; 8] = bytes(&mut self.reader)?;
        let [stored_crc, stored_length] =
            [0, 4].map(|at| u32::from_le_bytes(std::array::from_fn(|i| trailer[at + i])));
        let crc = std::mem::take(&mut self.crc).finalize();
        if stored_crc != crc {
            return Err(fault("gzip CRC-32", format!("{stored_crc:08x}"), format!("{crc:08x}")).into());
        }
        let length = std::mem::take(&mut self.length);
        if stored_length != length {
            let expected = format!("{stored_length} bytes modulo 2^32");
            return Err(fault("gzip length", expected, length.to_string()).into());
        }
        Ok(())
    }

    /// After a member: another one, the end, or zero bytes to the end (tapes and some file systems pad; gzip
    /// and Python ignore them). Anything else is refused, as Python does; gzip would only warn.
    fn next_member(&mut self) -> Result<(), StreamError> {
        let mut padding = 0;
        loop {
            let rest = self.reader.fill_buf()?;
            if rest.is_empty() {
                self.ended = true;
                return Ok(());
            }
            let zeros = rest.iter().take_while(|&&byte| byte == 0).count();
            if padding == 0 && zeros == 0 {
                break;
            }
            padding += zeros as u64;
            if zeros < rest.len() {
                return Err(garbage("other bytes after padding").into());
            }
            if padding > limits::GZIP_PADDING_BYTES {
                return Err(garbage("more zero bytes than any padding").into());
            }
            self.reader.consume(zeros);
        }
        if self.reader.buffer()[0] != MAGIC[0] {
            return Err(garbage("other bytes").into());
        }
        self.members += 1;
        if self.members > limits::GZIP_MEMBERS {
            let expected = format!("at most {}", limits::GZIP_MEMBERS);
            let hint = "unpack the file and pack it again";
            return Err(Fault::new(Part::Gzip, "gzip members", expected, "more", hint).into());
        }
        skip_header(&mut self.reader)?;
        self.inflate.reset(false);
        Ok(())
    }
}

fn garbage(found: &str) -> Fault {
    let hint = "unpack the file, look at it, and pack it again";
    Fault::new(Part::Gzip, "after the gzip stream", "the end of the file", found, hint)
}

fn bytes<const N: usize>(reader: &mut impl Read) -> Result<[u8; N], StreamError> {
    let mut bytes = [0; N];
    match reader.read_exact(&mut bytes) {
        Ok(()) => Ok(bytes),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(cut_off().into()),
        Err(error) => Err(error.into()),
    }
}

/// Reads over a member's header: names and comments are identity, and are dropped.
fn skip_header(reader: &mut BufReader<File>) -> Result<(), StreamError> {
    let [magic_0, magic_1, method, flags, ..]: [u8; 10] = bytes(reader)?;
    if [magic_0, magic_1] != MAGIC || method != 8 || flags & RESERVED != 0 {
        let found = format!("{magic_0:02x} {magic_1:02x} {method:02x} {flags:02x}");
        return Err(fault("gzip header", "1f 8b 08 and known flags", found).into());
    }
    if flags & EXTRA != 0 {
        let length = u64::from(u16::from_le_bytes(bytes(reader)?));
        if io::copy(&mut reader.take(length), &mut io::sink())? < length {
            return Err(cut_off().into());
        }
    }
    for text in [NAME, COMMENT] {
        if flags & text != 0 {
            let mut skipped = Vec::new();
            reader.take(TEXT_BYTES).read_until(0, &mut skipped)?;
            if skipped.last() != Some(&0) {
                return Err(fault("gzip header", "a name that ends", "none that does").into());
            }
        }
    }
    if flags & HEADER_CRC != 0 {
        bytes::<2>(reader)?;
    }
    Ok(())
}

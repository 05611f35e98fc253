//! Reading a volume: header, extensions, voxels, and nothing after them.

use std::path::Path;

use synthmr_core::limits;

use super::datatype::Datatype;
use super::error::{Fault, NiftiError, Part};
use super::header::{HEADER_BYTES, Header, SINGLE_FILE_OFFSET};
use super::source::{Source, cut_off};
use super::volume::Volume;

/// Unpacked bytes converted at once: small enough to stay in the second-level cache between the decoder and
/// the conversion, and a multiple of every voxel's size.
const CHUNK_BYTES: usize = 256 << 10;

/// Reads a NIfTI-1 volume, plain or gzip (decided by its first bytes).
///
/// The header is checked before anything it declares is allocated; memory stays at four bytes a voxel and
/// less than 1 MiB. Values are as nibabel's `get_fdata()` rounded to 32 bits. NaN and infinite voxels are
/// kept: see [`Volume::non_finite_count`].
///
/// # Errors
/// [`NiftiError::File`] when the file cannot be read or is not a regular file, [`NiftiError::Refused`] for
/// everything in it that is not one complete scalar 3-D NIfTI-1 volume with a known orientation.
pub fn read(path: &Path) -> Result<Volume, NiftiError> {
    read_with_header(path).map(|(_, volume)| volume)
}

/// Reads a volume with its checked header. See [`read`].
///
/// # Errors
/// As [`read`].
pub fn read_with_header(path: &Path) -> Result<(Header, Volume), NiftiError> {
    read_reusing(path, Vec::new())
}

/// Reads a volume into memory that an earlier volume leaves behind ([`Volume::voxels`]; its content is
/// dropped). With fresh memory a third of the time of reading goes into the system's handing it out.
///
/// # Errors
/// As [`read`].
pub fn read_reusing(path: &Path, mut voxels: Vec<f32>) -> Result<(Header, Volume), NiftiError> {
    let mut source = Source::open(path)?;
    let header = parse_header(&mut source, path)?;
    let count = header.voxel_count();
    // What an earlier volume left is written over, so only room beyond it must be made.
    voxels.truncate(count);
    voxels.try_reserve_exact(count - voxels.len()).map_err(|_| {
        Fault::new(
            Part::Data,
            "memory",
            format!("{} bytes for the voxels", 4 * count),
            "less than that",
            "free memory, or resample the volume",
        )
        .at(path)
    })?;
    let total = header.data_bytes();
    let mut chunk = vec![0; CHUNK_BYTES.min(total as usize)];
    let mut done = 0;
    while done < total {
        let wanted = chunk.len().min((total - done) as usize);
        let found = source.fill(&mut chunk[..wanted])?;
        done += found as u64;
        if found < wanted {
            return Err(cut_off(Part::Data, "voxels", total, done).at(path));
        }
        let end = (done / header.datatype.bytes() as u64) as usize;
        if voxels.len() < end {
            voxels.resize(end, 0.0);
        }
        let start = end - wanted / header.datatype.bytes();
        convert(&header, &chunk[..wanted], &mut voxels[start..end]);
    }
    source.finish()?;
    let volume = Volume::new(header.shape, header.affine, voxels);
    Ok((header, volume))
}

/// Reads and checks the header and the extensions of a volume; its voxels are not read.
///
/// # Errors
/// As [`read`], without the faults that only reading the voxels can show.
pub fn read_header(path: &Path) -> Result<Header, NiftiError> {
    parse_header(&mut Source::open(path)?, path)
}

/// Leaves the source at the first voxel.
fn parse_header(source: &mut Source<'_>, path: &Path) -> Result<Header, NiftiError> {
    let mut bytes = [0; HEADER_BYTES];
    let found = source.fill(&mut bytes)?;
    if found < HEADER_BYTES {
        // NIfTI-2 and other formats also begin with their header's size, but they are longer than this.
        return Err(cut_off(Part::Header, "header", HEADER_BYTES as u64, found as u64).at(path));
    }
    let header = Header::parse(&bytes).map_err(|fault| pair_hint(fault, path).at(path))?;
    source.check_declared(header.data_offset + header.data_bytes())?;
    skip_extensions(source, &header, path)?;
    Ok(header)
}

/// A `.img` file has no header of its own; say so instead of "damaged".
fn pair_hint(fault: Fault, path: &Path) -> Fault {
    let is_pair = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("img"));
    if is_pair && fault.part == Part::Format {
        let found = "the voxel file of a .hdr/.img pair";
        let hint = "join the pair into one .nii file, for instance with nibabel: load and save";
        return Fault::new(Part::Format, "format", "a single NIfTI-1 file", found, hint);
    }
    fault
}

/// Walks the extension blocks up to the first voxel. Their content is identity and history, and is dropped.
/// With the flag 0 there are none, whatever lies between.
fn skip_extensions(source: &mut Source<'_>, header: &Header, path: &Path) -> Result<(), NiftiError> {
    let flag = four_bytes(source, "extension flag", path)?;
    let mut left = header.data_offset - SINGLE_FILE_OFFSET;
    if flag[0] != 0 {
        // Fewer than 16 bytes cannot hold a block: padding, as in nibabel.
        while left >= 16 {
            let raw = four_bytes(source, "extension size", path)?;
            let size = if header.big_endian { i32::from_be_bytes(raw) } else { i32::from_le_bytes(raw) };
            if size < 8 || size as u64 > left {
                return Err(Fault::new(
                    Part::Extension,
                    "extension size",
                    format!("8 to {left} bytes, up to the first voxel"),
                    size.to_string(),
                    "the extensions are damaged; write the volume again without them",
                )
                .at(path));
            }
            skip(source, size as u64 - 4, path)?;
            left -= size as u64;
        }
    }
    skip(source, left, path)
}

fn four_bytes(source: &mut Source<'_>, field: &str, path: &Path) -> Result<[u8; 4], NiftiError> {
    let mut bytes = [0; 4];
    match source.fill(&mut bytes)? {
        4 => Ok(bytes),
        found => Err(cut_off(Part::Extension, field, 4, found as u64).at(path)),
    }
}

fn skip(source: &mut Source<'_>, bytes: u64, path: &Path) -> Result<(), NiftiError> {
    debug_assert!(bytes <= limits::NIFTI_EXTENSION_BYTES, "the header's offset is checked");
    let mut scratch = [0; 4096];
    let mut left = bytes;
    while left > 0 {
        let wanted = left.min(scratch.len() as u64) as usize;
        let found = source.fill(&mut scratch[..wanted])?;
        left -= found as u64;
        if found < wanted {
            return Err(cut_off(Part::Extension, "extensions", bytes, bytes - left).at(path));
        }
    }
    Ok(())
}

/// Sets the values of stored voxels. Scaling is done in 64 bits, as nibabel does, then rounded once.
fn convert(header: &Header, bytes: &[u8], out: &mut [f32]) {
    macro_rules! fill {
        ($stored:ident, $plain:expr) => {
            match (header.scaling, header.big_endian) {
                (None, false) => fill(out, bytes, |cell| $plain($stored::from_le_bytes(cell))),
                (None, true) => fill(out, bytes, |cell| $plain($stored::from_be_bytes(cell))),
                (Some((slope, intercept)), false) => {
                    fill(out, bytes, |cell| ($stored::from_le_bytes(cell) as f64 * slope + intercept) as f32)
                }
                (Some((slope, intercept)), true) => {
                    fill(out, bytes, |cell| ($stored::from_be_bytes(cell) as f64 * slope + intercept) as f32)
                }
            }
        };
    }
    match header.datatype {
        Datatype::U8 => fill!(u8, f32::from),
        Datatype::I8 => fill!(i8, f32::from),
        Datatype::I16 => fill!(i16, f32::from),
        Datatype::U16 => fill!(u16, f32::from),
        Datatype::I32 => fill!(i32, |v: i32| v as f32),
        Datatype::U32 => fill!(u32, |v: u32| v as f32),
        // Through 64-bit floats, as nibabel: a single rounding could differ in the last bit.
        Datatype::I64 => fill!(i64, |v: i64| v as f64 as f32),
        Datatype::U64 => fill!(u64, |v: u64| v as f64 as f32),
        Datatype::F32 => fill!(f32, |v: f32| v),
        Datatype::F64 => fill!(f64, |v: f64| v as f32),
    }
}

/// Sets each value from the `WIDTH` bytes that store it.
fn fill<const WIDTH: usize>(out: &mut [f32], bytes: &[u8], value: impl Fn([u8; WIDTH]) -> f32) {
    for (out, cell) in out.iter_mut().zip(bytes.as_chunks().0) {
        *out = value(*cell);
    }
}

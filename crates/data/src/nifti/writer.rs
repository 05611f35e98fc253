//! Writing a volume. The header is made from zero: no description, no file names, no dates, so that nothing
//! of a source file's identity can pass through.

use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};
use synthmr_core::files::{self, Access};
use synthmr_core::limits;

use super::affine;
use super::datatype::Datatype;
use super::error::{Fault, NiftiError, Part};
use super::header::{HEADER_BYTES, SINGLE_FILE_OFFSET};
use super::volume::Volume;

/// `NIFTI_XFORM_SCANNER_ANAT`: millimetres in the scanner's coordinates.
const FORM_CODE: i16 = 1;

/// `NIFTI_UNITS_MM`.
const UNITS_MM: u8 = 2;

/// Voxels encoded at once.
const CHUNK_VOXELS: usize = 64 << 10;

/// Writes a volume as one little-endian NIfTI-1 file, gzip when the name ends in `.gz`; atomic.
///
/// Values are rounded to the nearest whole number for integer types. The sform is always set; the qform too
/// when the axes are at right angles (it cannot describe others).
///
/// # Errors
/// [`NiftiError::Refused`] when a value does not fit the type (out of range or NaN for an integer type), the
/// shape is beyond the limits or not that of the voxels, or the affine is singular; [`NiftiError::File`]
/// when the file cannot be written. Nothing is then written.
pub fn write(path: &Path, volume: &Volume, datatype: Datatype) -> Result<(), NiftiError> {
    let header = header_bytes(volume, datatype).map_err(|fault| fault.at(path))?;
    check_values(volume, datatype).map_err(|fault| fault.at(path))?;
    let gzip = path.extension().is_some_and(|e| e.eq_ignore_ascii_case("gz"));
    files::write_with(path, Access::Shared, |target| {
        if gzip {
            // The builder's header has no file name and time 0, so equal volumes give equal files.
            let mut packed = GzBuilder::new().write(target, Compression::default());
            write_unpacked(&mut packed, &header, volume, datatype)?;
            packed.finish().map(|_| ())
        } else {
            write_unpacked(target, &header, volume, datatype)
        }
    })?;
    Ok(())
}

fn write_unpacked(
    target: &mut dyn Write,
    header: &[u8; HEADER_BYTES],
    volume: &Volume,
    datatype: Datatype,
) -> io::Result<()> {
    target.write_all(header)?;
    // The flag that says: no extensions.
    target.write_all(&[0; 4])?;
    let mut bytes = Vec::new();
    for voxels in volume.voxels.chunks(CHUNK_VOXELS) {
        encode(voxels, datatype, &mut bytes);
        target.write_all(&bytes)?;
    }
    Ok(())
}

/// Replaces `bytes` by the voxels as they are stored.
fn encode(voxels: &[f32], datatype: Datatype, bytes: &mut Vec<u8>) {
    // The buffer is sized first: appending a voxel at a time is many times slower.
    bytes.resize(voxels.len() * datatype.bytes(), 0);
    macro_rules! store {
        ($stored:ty, $convert:expr) => {
            for (cell, v) in bytes.as_chunks_mut().0.iter_mut().zip(voxels) {
                let stored: $stored = $convert(*v);
                *cell = stored.to_le_bytes();
            }
        };
        ($stored:ty) => {
            store!($stored, |v: f32| v.round_ties_even() as $stored)
        };
    }
    match datatype {
        Datatype::U8 => store!(u8),
        Datatype::I8 => store!(i8),
        Datatype::I16 => store!(i16),
        Datatype::U16 => store!(u16),
        Datatype::I32 => store!(i32),
        Datatype::U32 => store!(u32),
        Datatype::I64 => store!(i64),
        Datatype::U64 => store!(u64),
        Datatype::F32 => store!(f32, |v: f32| v),
        Datatype::F64 => store!(f64, f64::from),
    }
}

/// The half-open range of whole numbers that an integer type holds; exact, because its ends are powers of 2.
fn integer_range(datatype: Datatype) -> Option<(f64, f64)> {
    let bits = 8 * datatype.bytes() as i32;
    match datatype {
        Datatype::U8 | Datatype::U16 | Datatype::U32 | Datatype::U64 => Some((0.0, 2f64.powi(bits))),
        Datatype::I8 | Datatype::I16 | Datatype::I32 | Datatype::I64 => {
            Some((-(2f64.powi(bits - 1)), 2f64.powi(bits - 1)))
        }
        Datatype::F32 | Datatype::F64 => None,
    }
}

fn check_values(volume: &Volume, datatype: Datatype) -> Result<(), Fault> {
    let Some((low, high)) = integer_range(datatype) else { return Ok(()) };
    let fits = |&v: &f32| (low..high).contains(&f64::from(v.round_ties_even()));
    match volume.voxels.iter().find(|v| !fits(v)) {
        None => Ok(()),
        Some(value) => Err(Fault::new(
            Part::Data,
            "voxels",
            format!("values that fit {}", datatype.name()),
            value.to_string(),
            "choose a wider type, or scale the values first",
        )),
    }
}

fn header_bytes(volume: &Volume, datatype: Datatype) -> Result<[u8; HEADER_BYTES], Fault> {
    let Volume { shape, affine, voxels, .. } = volume;
    let count = shape.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent));
    let extents_fit = shape.iter().all(|&extent| (1..=limits::VOLUME_EXTENT as usize).contains(&extent));
    let count_fits = count.is_some_and(|n| n as u64 <= limits::VOLUME_VOXELS && n == voxels.len());
    if !(extents_fit && count_fits) {
        return Err(Fault::new(
            Part::Header,
            "dim",
            format!("extents of 1 to {} that match the voxels", limits::VOLUME_EXTENT),
            format!("{shape:?} with {} voxels", voxels.len()),
            "crop or resample the volume",
        ));
    }
    if !affine::is_usable(affine) {
        return Err(Fault::new(
            Part::Header,
            "sform",
            "finite, with three independent axes",
            format!("{affine:?}"),
            "give the volume an affine in millimetres",
        ));
    }
    let mut bytes = [0; HEADER_BYTES];
    let mut put = |at: usize, field: &[u8]| bytes[at..at + field.len()].copy_from_slice(field);
    put(0, &348i32.to_le_bytes());
    put(38, b"r");
    put(40, &3i16.to_le_bytes());
    // The extents of the four axes that a volume does not have are 1, by the standard.
    for (axis, extent) in shape.iter().chain(&[1; 4]).enumerate() {
        put(42 + 2 * axis, &(*extent as i16).to_le_bytes());
    }
    put(70, &datatype.code().to_le_bytes());
    put(72, &(8 * datatype.bytes() as i16).to_le_bytes());
    for (axis, spacing) in affine::spacing_mm(affine).into_iter().enumerate() {
        put(80 + 4 * axis, &(spacing as f32).to_le_bytes());
    }
    put(108, &(SINGLE_FILE_OFFSET as f32).to_le_bytes());
    put(112, &1f32.to_le_bytes());
    put(123, &[UNITS_MM]);
    let quaternion = affine::to_quaternion(affine);
    let qfac = quaternion.map_or(1.0, |(_, qfac)| qfac);
    put(76, &(qfac as f32).to_le_bytes());
    if let Some((bcd, _)) = quaternion {
        put(252, &FORM_CODE.to_le_bytes());
        for axis in 0..3 {
            put(256 + 4 * axis, &(bcd[axis] as f32).to_le_bytes());
            put(268 + 4 * axis, &(affine[axis][3] as f32).to_le_bytes());
        }
    }
    put(254, &FORM_CODE.to_le_bytes());
    for (row, values) in affine.iter().enumerate() {
        for (column, value) in values.iter().enumerate() {
            put(280 + 16 * row + 4 * column, &(*value as f32).to_le_bytes());
        }
    }
    put(344, b"n+1\0");
    Ok(bytes)
}

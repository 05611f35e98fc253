//! The 348-byte header: parsed and checked before anything that it declares is believed.

use synthmr_core::limits;

use super::affine::{self, Affine};
use super::datatype::Datatype;
use super::error::{Fault, Part};

/// Bytes of a NIfTI-1 header.
pub(super) const HEADER_BYTES: usize = 348;

/// Bytes of header and extension flag; voxels begin here at the earliest.
pub(super) const SINGLE_FILE_OFFSET: u64 = 352;

/// Where the affine was taken from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AffineSource {
    /// The affine stored in full (sform code above 0).
    Sform,
    /// The quaternion (qform code above 0, no sform).
    Qform,
    /// Neither is set: extents and spacing only, so left and right are a guess (nibabel's guess).
    Base,
}

/// A checked header.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    /// Extents along the three voxel axes.
    pub shape: [usize; 3],
    /// How voxels are stored.
    pub datatype: Datatype,
    /// Whether numbers are stored with the most significant byte first.
    pub big_endian: bool,
    /// Slope and intercept; `None` when stored values are the values (slope 0 or not finite, or the identity).
    pub scaling: Option<(f64, f64)>,
    /// Position of the first voxel in the unpacked file, in bytes.
    pub data_offset: u64,
    /// Rows of the affine from voxel indices to millimetres in RAS+ coordinates.
    pub affine: [[f64; 4]; 3],
    /// Where [`Self::affine`] came from.
    pub affine_source: AffineSource,
    /// The qform's affine when its code is above 0 and it is usable; differs from [`Self::affine`] in files
    /// whose two descriptions disagree.
    pub qform: Option<[[f64; 4]; 3]>,
    /// The header's own spacing field, as stored, in millimetres.
    pub pixdim_mm: [f64; 3],
}

impl Header {
    /// Number of voxels.
    pub fn voxel_count(&self) -> usize {
        self.shape.iter().product()
    }

    /// Distances between voxel centres, in millimetres, by the affine.
    pub fn spacing_mm(&self) -> [f64; 3] {
        affine::spacing_mm(&self.affine)
    }

    /// Bytes of the stored voxels.
    pub fn data_bytes(&self) -> u64 {
        self.voxel_count() as u64 * self.datatype.bytes() as u64
    }

    /// Parses and checks a header.
    pub(super) fn parse(bytes: &[u8; HEADER_BYTES]) -> Result<Self, Fault> {
        let fields = Fields { bytes, big_endian: endianness(bytes)? };
        check_magic(bytes)?;
        let shape = shape(&fields)?;
        let datatype = Datatype::from_code(fields.i16(70))?;
        let bitpix = fields.i16(72);
        if bitpix != 8 * datatype.bytes() as i16 {
            return Err(header(
                "bitpix",
                format!("{} for {}", 8 * datatype.bytes(), datatype.name()),
                bitpix.to_string(),
                "the header contradicts itself; write the volume again with the tool that made it",
            ));
        }
        // NIFTI_UNITS: 1 metre, 2 millimetre, 3 micrometre, 0 unknown (taken as millimetres by everyone).
        if let units @ (1 | 3) = bytes[123] & 7 {
            let found = if units == 1 { "metres" } else { "micrometres" };
            let hint = "convert the affine to millimetres and set xyzt_units to 2";
            return Err(header("xyzt_units", "millimetres", found, hint));
        }
        let pixdim_mm = [80, 84, 88].map(|at| f64::from(fields.f32(at)));
        let qform_code = form_code(&fields, 252, "qform_code")?;
        let sform_code = form_code(&fields, 254, "sform_code")?;
        let (affine, affine_source) = if sform_code > 0 {
            (sform(&fields)?, AffineSource::Sform)
        } else if qform_code > 0 {
            (qform(&fields, pixdim_mm)?, AffineSource::Qform)
        } else {
            (affine::base(shape, positive_pixdim(pixdim_mm)?), AffineSource::Base)
        };
        Ok(Self {
            shape,
            datatype,
            big_endian: fields.big_endian,
            scaling: scaling(&fields)?,
            data_offset: data_offset(&fields)?,
            affine,
            affine_source,
            qform: if qform_code > 0 { qform(&fields, pixdim_mm).ok() } else { None },
            pixdim_mm,
        })
    }
}

/// Reads numbers at byte positions of the header.
struct Fields<'a> {
    bytes: &'a [u8; HEADER_BYTES],
    big_endian: bool,
}

impl Fields<'_> {
    fn i16(&self, at: usize) -> i16 {
        let raw = [self.bytes[at], self.bytes[at + 1]];
        if self.big_endian { i16::from_be_bytes(raw) } else { i16::from_le_bytes(raw) }
    }

    fn f32(&self, at: usize) -> f32 {
        let raw = std::array::from_fn(|i| self.bytes[at + i]);
        if self.big_endian { f32::from_be_bytes(raw) } else { f32::from_le_bytes(raw) }
    }
}

fn header(
    field: impl Into<String>,
    expected: impl Into<String>,
    found: impl Into<String>,
    hint: &'static str,
) -> Fault {
    Fault::new(Part::Header, field, expected, found, hint)
}

fn endianness(bytes: &[u8; HEADER_BYTES]) -> Result<bool, Fault> {
    let size = [bytes[0], bytes[1], bytes[2], bytes[3]];
    match (i32::from_le_bytes(size), i32::from_be_bytes(size)) {
        (348, _) => Ok(false),
        (_, 348) => Ok(true),
        (540, _) | (_, 540) => Err(Fault::new(
            Part::Format,
            "format",
            "NIfTI-1",
            "NIfTI-2",
            "write it as NIfTI-1, for instance with nibabel: Nifti1Image(image.dataobj, image.affine)",
        )),
        (found, _) => Err(not_nifti(bytes, found)),
    }
}

fn not_nifti(bytes: &[u8; HEADER_BYTES], size: i32) -> Fault {
    let (found, hint) = if &bytes[128..132] == b"DICM" {
        ("a DICOM file".to_owned(), "convert the series to NIfTI-1, for instance with dcm2niix")
    } else if bytes.starts_with(b"BZh") || bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        ("a bzip2 or zstd stream".to_owned(), "unpack it, or pack it with gzip")
    } else {
        (format!("a file that begins with {size}"), "give a NIfTI-1 file, .nii or .nii.gz")
    };
    Fault::new(Part::Format, "sizeof_hdr", "348, the size of a NIfTI-1 header", found, hint)
}

fn check_magic(bytes: &[u8; HEADER_BYTES]) -> Result<(), Fault> {
    let magic = &bytes[344..348];
    if magic == b"n+1\0" {
        return Ok(());
    }
    let (found, hint) = if magic == b"ni1\0" {
        (
            "the header of a .hdr/.img pair".to_owned(),
            "join the pair into one .nii file, for instance with nibabel: load and save",
        )
    } else if magic[0] == 0 {
        (
            "an Analyze 7.5 header".to_owned(),
            "convert it to NIfTI-1 with a tool that knows its left-right convention",
        )
    } else {
        (format!("{:?}", String::from_utf8_lossy(magic)), "the header is damaged, or this is not NIfTI-1")
    };
    Err(Fault::new(Part::Format, "magic", "\"n+1\\0\", a single NIfTI-1 file", found, hint))
}

fn shape(fields: &Fields<'_>) -> Result<[usize; 3], Fault> {
    let dims: [i16; 8] = std::array::from_fn(|i| fields.i16(40 + 2 * i));
    if !(3..=7).contains(&dims[0]) {
        return Err(header(
            "dim[0]",
            "3 axes (or more of extent 1)",
            dims[0].to_string(),
            "give one scalar 3-D volume a file",
        ));
    }
    let (space, others) = dims[1..=dims[0] as usize].split_at(3);
    for (axis, &extent) in space.iter().enumerate() {
        if extent < 1 || i64::from(extent) > limits::VOLUME_EXTENT as i64 {
            return Err(header(
                format!("dim[{}]", axis + 1),
                format!("1 to {}", limits::VOLUME_EXTENT),
                extent.to_string(),
                "the header is damaged, or this is not an MR volume",
            ));
        }
    }
    for (axis, &extent) in others.iter().enumerate() {
        if extent != 1 {
            return Err(header(
                format!("dim[{}]", axis + 4),
                "1 (a single scalar volume)",
                extent.to_string(),
                "split the series: one 3-D volume a file, one file a contrast",
            ));
        }
    }
    let shape = [dims[1], dims[2], dims[3]].map(|extent| extent as usize);
    let voxels = shape.iter().map(|&extent| extent as u64).product::<u64>();
    if voxels > limits::VOLUME_VOXELS {
        return Err(header(
            "dim",
            format!("at most {} voxels", limits::VOLUME_VOXELS),
            format!("{voxels} ({} x {} x {})", shape[0], shape[1], shape[2]),
            "crop or resample the volume",
        ));
    }
    Ok(shape)
}

/// Slope 0 and a slope that is not finite mean "not scaled", as in nibabel; so does the identity.
fn scaling(fields: &Fields<'_>) -> Result<Option<(f64, f64)>, Fault> {
    let (slope, intercept) = (f64::from(fields.f32(112)), f64::from(fields.f32(116)));
    if slope == 0.0 || !slope.is_finite() || (slope, intercept) == (1.0, 0.0) {
        return Ok(None);
    }
    if !intercept.is_finite() {
        let hint = "the header is damaged; write the volume again with the tool that made it";
        return Err(header("scl_inter", "a finite number beside a slope", intercept.to_string(), hint));
    }
    Ok(Some((slope, intercept)))
}

fn data_offset(fields: &Fields<'_>) -> Result<u64, Fault> {
    let offset = f64::from(fields.f32(108));
    let highest = SINGLE_FILE_OFFSET + limits::NIFTI_EXTENSION_BYTES;
    let in_range = offset >= SINGLE_FILE_OFFSET as f64 && offset <= highest as f64;
    if in_range && offset.fract() == 0.0 {
        return Ok(offset as u64);
    }
    Err(header(
        "vox_offset",
        format!("a whole number from {SINGLE_FILE_OFFSET} to {highest}"),
        offset.to_string(),
        "the header is damaged; write the volume again with the tool that made it",
    ))
}

fn form_code(fields: &Fields<'_>, at: usize, field: &str) -> Result<i16, Fault> {
    match fields.i16(at) {
        code @ 0..=5 => Ok(code),
        code => Err(header(
            field,
            "0 to 5",
            code.to_string(),
            "the header is damaged: its orientation is unknown",
        )),
    }
}

fn sform(fields: &Fields<'_>) -> Result<Affine, Fault> {
    let affine = std::array::from_fn(|row| {
        std::array::from_fn(|column| f64::from(fields.f32(280 + 16 * row + 4 * column)))
    });
    if affine::is_usable(&affine) {
        return Ok(affine);
    }
    let hint =
        "the volume's orientation is unknown; repair the sform, or set sform_code to 0 to use the qform";
    Err(header("sform", "finite, with three independent axes", format!("{affine:?}"), hint))
}

fn positive_pixdim(pixdim_mm: [f64; 3]) -> Result<[f64; 3], Fault> {
    for (axis, &spacing) in pixdim_mm.iter().enumerate() {
        if !(spacing > 0.0 && spacing.is_finite()) {
            return Err(header(
                format!("pixdim[{}]", axis + 1),
                "a spacing above 0 mm",
                spacing.to_string(),
                "the header is damaged: its spacing is unknown",
            ));
        }
    }
    Ok(pixdim_mm)
}

fn qform(fields: &Fields<'_>, pixdim_mm: [f64; 3]) -> Result<Affine, Fault> {
    let spacing = positive_pixdim(pixdim_mm)?;
    // The standard: "if pixdim[0]=0 (which should not occur), take qfac=1".
    let qfac = match fields.f32(76) {
        0.0 | 1.0 => 1.0,
        -1.0 => -1.0,
        other => {
            let hint = "the header is damaged: the direction of its third axis is unknown";
            return Err(header("pixdim[0]", "1 or -1 (qfac)", other.to_string(), hint));
        }
    };
    let bcd = [256, 260, 264].map(|at| f64::from(fields.f32(at)));
    let offset = [268, 272, 276].map(|at| f64::from(fields.f32(at)));
    match affine::from_quaternion(bcd, offset, spacing, qfac) {
        Some(affine) if affine::is_usable(&affine) => Ok(affine),
        _ => Err(header(
            "qform",
            "a finite quaternion of length at most 1 and a finite offset",
            format!("quaternion {bcd:?}, offset {offset:?}"),
            "the volume's orientation is unknown; repair the qform, or store an sform",
        )),
    }
}

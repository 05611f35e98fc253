//! Contact sheets: a PNG that shows a few slices to people, with the record that describes it. The only
//! pixels that leave a store for a report.

use synthmr_core::files::Access;
use synthmr_core::records::{ContactSheet, SCHEMA};

use crate::store::{StoreError, StoreLayout, StoreWriter};

/// File names inside a store.
const SHEET_JSON: &str = "sheet.json";
const SHEET_PNG: &str = "sheet.png";

/// Smallest edge of a cell in the PNG, in pixels: smaller slices are enlarged by whole factors.
const CELL_PIXELS: usize = 128;

/// Most images of a sheet that a step makes by itself.
pub const SHEET_ROWS: usize = 8;

/// One image of a sheet.
#[derive(Clone, Debug, PartialEq)]
pub struct SheetImage {
    /// u8 `[C, H, W]`.
    pub image: Vec<u8>,
    /// Class indices, u8 `[H, W]`.
    pub label: Vec<u8>,
}

/// A sheet ready to be written.
#[derive(Clone, Debug, PartialEq)]
pub struct RenderedSheet {
    /// What `sheet.json` says.
    pub record: ContactSheet,
    /// The PNG file.
    pub png: Vec<u8>,
}

/// Draws images in rows: one column a channel, then the annotation in the scheme's colours. Cells touch; cell
/// (r, c) begins at pixel (r * cell_height, c * cell_width). `inside` marks real pixels.
///
/// # Panics
/// When an image has another size than the layout says.
pub fn render(title: &str, inside: bool, layout: &StoreLayout, images: &[SheetImage]) -> RenderedSheet {
    let (height, width) = (layout.height, layout.width);
    let factor = CELL_PIXELS.div_ceil(height.max(width)).max(1);
    let (cell_height, cell_width) = (height * factor, width * factor);
    let channels = layout.channels.len();
    let row_bytes = 3 * cell_width * (channels + 1);
    let mut pixels = vec![0u8; row_bytes * cell_height * images.len()];
    for (sheet_row, line) in pixels.chunks_exact_mut(row_bytes).enumerate() {
        let SheetImage { image, label } = &images[sheet_row / cell_height];
        assert_eq!(image.len(), channels * height * width, "an image has the layout's size");
        assert_eq!(label.len(), height * width, "a label map has the layout's size");
        let y = sheet_row % cell_height / factor;
        for (column, cell) in line.chunks_exact_mut(3 * cell_width).enumerate() {
            for (x, rgb) in cell.chunks_exact_mut(3).enumerate() {
                let pixel = y * width + x / factor;
                let colour = match image.get(column * height * width + pixel) {
                    Some(&gray) if column < channels => [gray; 3],
                    _ => layout
                        .labels
                        .classes
                        .get(usize::from(label[pixel]))
                        .map_or([255; 3], |class| class.rgb),
                };
                rgb.copy_from_slice(&colour);
            }
        }
    }
    let columns = layout.channels.iter().cloned().chain(["annotation".to_owned()]).collect();
    let record = ContactSheet {
        schema: SCHEMA,
        title: title.to_owned(),
        inside,
        columns,
        rows: images.len(),
        cell_height,
        cell_width,
        png: SHEET_PNG.to_owned(),
    };
    let png = encode_png(cell_width * (channels + 1), cell_height * images.len(), &pixels);
    RenderedSheet { record, png }
}

impl RenderedSheet {
    /// Puts `sheet.json` and `sheet.png` into a store that is being written; real pixels for the owner only.
    ///
    /// # Errors
    /// [`StoreError::File`].
    pub fn add_to(&self, writer: &StoreWriter) -> Result<(), StoreError> {
        let access = if self.record.inside { Access::Private } else { Access::Shared };
        writer.add_json(SHEET_JSON, Access::Shared, &self.record)?;
        writer.add_file(SHEET_PNG, access, &self.png)
    }
}

/// A PNG file of 8-bit RGB pixels `[height, width, 3]`, without time stamps, so that equal pixels give equal
/// bytes.
#[expect(clippy::expect_used, reason = "writing to memory cannot fail, and the size is that of the pixels")]
fn encode_png(width: usize, height: usize, rgb: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    // PNG has no empty images; a sheet without rows is one black line.
    let blank = vec![0; 3 * width];
    let (height, rgb) = if height == 0 { (1, blank.as_slice()) } else { (height, rgb) };
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header().expect("a header is written to memory");
    writer.write_image_data(rgb).expect("pixels are written to memory");
    writer.finish().expect("the end is written to memory");
    bytes
}

#[cfg(test)]
mod tests {
    use synthmr_core::LabelScheme;

    use super::*;

    fn layout() -> StoreLayout {
        let channels = ["T1", "T2"].map(str::to_owned).to_vec();
        StoreLayout { channels, height: 64, width: 64, labels: LabelScheme::brats() }
    }

    fn decode(png: &[u8]) -> (usize, usize, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(png)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut pixels).unwrap();
        (info.width as usize, info.height as usize, pixels)
    }

    #[test]
    fn cells_show_channels_and_annotation() {
        let mut image = vec![0; 2 * 64 * 64];
        (image[0], image[64 * 64 + 1]) = (200, 100);
        let mut label = vec![0; 64 * 64];
        label[64] = 3;
        let rows = [
            SheetImage { image: vec![7; 2 * 64 * 64], label: vec![0; 64 * 64] },
            SheetImage { image, label },
        ];
        let sheet = render("two", true, &layout(), &rows);
        assert_eq!((sheet.record.cell_height, sheet.record.cell_width, sheet.record.rows), (128, 128, 2));
        assert_eq!(sheet.record.columns, ["T1", "T2", "annotation"]);
        let (width, height, pixels) = decode(&sheet.png);
        assert_eq!((width, height), (3 * 128, 2 * 128));
        let at = |y: usize, x: usize| <[u8; 3]>::try_from(&pixels[3 * (y * width + x)..][..3]).unwrap();
        assert_eq!(at(5, 5), [7; 3]);
        assert_eq!((at(128, 0), at(129, 1), at(128, 2)), ([200; 3], [200; 3], [0; 3]));
        assert_eq!(at(128, 128 + 2), [100; 3]);
        assert_eq!(at(128 + 2, 256), layout().labels.classes[3].rgb);
    }

    #[test]
    fn a_sheet_without_images_is_still_a_png() {
        let sheet = render("none", false, &layout(), &[]);
        assert_eq!((sheet.record.rows, decode(&sheet.png).1), (0, 1));
    }
}

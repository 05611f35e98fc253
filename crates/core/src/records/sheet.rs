//! Contact sheets: pictures that a step made for people, and the only pixels that a report sees.

use serde::{Deserialize, Serialize};

/// `sheet.json` beside a PNG: images in rows, one column a channel, the annotation last.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContactSheet {
    /// [`super::SCHEMA`].
    pub schema: u32,
    /// One line for people.
    pub title: String,
    /// True when it shows real pixels: such a sheet never enters a public edition.
    pub inside: bool,
    /// Names of the columns.
    pub columns: Vec<String>,
    /// Number of images (rows).
    pub rows: usize,
    /// Height of one image in the PNG, in pixels.
    pub cell_height: usize,
    /// Width of one image in the PNG, in pixels.
    pub cell_width: usize,
    /// File name of the PNG, beside this record.
    pub png: String,
}

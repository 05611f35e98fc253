//! Pictures and what may be done with them.

use synthmr_core::labels::Class;
use synthmr_core::records::{ModelKind, Origin};

use crate::encode;
use crate::error::ReportError;
use crate::format;
use crate::inputs::{ReportInputs, SheetInput, StoreInput};

/// Whose pixels a picture shows, from the least to the most restricted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// Drawn by a generator, of a set that an audit found no certain copy in.
    Audited,
    /// Drawn by a generator.
    Synthetic,
    /// Of the cohort, but not marked as real pixels by the step that made it, as for a phantom cohort.
    /// The reader is asked to check, because this crate cannot.
    Unmarked,
    /// Drawn by a generator that an audit found copies of.
    Copies,
    /// Real patients' pixels.
    Inside,
}

impl Mark {
    /// One line for the picture and for the banner.
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Inside => "inside: real patients' pixels, do not pass on",
            Self::Unmarked => {
                "images of the cohort, not marked as patients' pixels: check before you pass them on"
            }
            Self::Copies => "drawn by a generator that copies real images, as an audit found: do not pass on",
            Self::Synthetic => "drawn by a generator, not audited for copies of training images",
            Self::Audited => {
                "drawn by a generator; an audit of the set found no certain copy of a real image"
            }
        }
    }

    /// The class in the style sheet.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Inside | Self::Copies => "inside",
            Self::Unmarked => "unmarked",
            Self::Synthetic | Self::Audited => "synthetic",
        }
    }
}

/// A picture in the page.
#[derive(Clone, Debug)]
pub(crate) struct PictureView {
    pub(crate) uri: String,
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) alt: String,
    pub(crate) mark: Mark,
}

impl PictureView {
    pub(crate) fn new(name: &str, png: &[u8], alt: String, mark: Mark) -> Result<Self, ReportError> {
        let (width, height) = encode::png_size(name, png)?;
        Ok(Self { uri: encode::png_data_uri(png), width, height, alt, mark })
    }
}

/// A contact sheet, or what is missing in its place.
#[derive(Clone, Debug)]
pub(crate) struct SheetView {
    pub(crate) heading: &'static str,
    pub(crate) title: String,
    pub(crate) columns: Vec<String>,
    pub(crate) picture: Option<PictureView>,
    /// What is missing.
    pub(crate) missing: &'static str,
    /// The beginning of the command that makes it, to which the template adds a name.
    pub(crate) command: &'static str,
}

/// A class with its colour.
#[derive(Clone, Debug)]
pub(crate) struct LegendEntry {
    pub(crate) name: String,
    pub(crate) colour: String,
}

impl LegendEntry {
    pub(crate) fn new(class: &Class) -> Self {
        let [red, green, blue] = class.rgb;
        Self { name: class.name.clone(), colour: format!("#{red:02x}{green:02x}{blue:02x}") }
    }
}

/// The two sheets that stand side by side.
pub(crate) fn sheets(inputs: &ReportInputs) -> Result<Vec<SheetView>, ReportError> {
    let real = sheet(inputs, "Cohort", inputs.real.as_ref(), "synthmr import COHORT")?;
    let synthetic = sheet(inputs, "Synthetic", inputs.synthetic.as_ref(), "synthmr sample RUN")?;
    Ok(vec![real, synthetic])
}

fn sheet(
    inputs: &ReportInputs,
    heading: &'static str,
    store: Option<&StoreInput>,
    command: &'static str,
) -> Result<SheetView, ReportError> {
    let missing = match store {
        None => "No store was given for this side.",
        Some(_) => "This store has no contact sheet with images.",
    };
    let empty = SheetView { heading, title: String::new(), columns: vec![], picture: None, missing, command };
    let shown =
        store.and_then(|store| Some((store, store.sheet.as_ref().filter(|sheet| sheet.record.rows > 0)?)));
    let Some((store, sheet)) = shown else { return Ok(empty) };
    let mark = sheet_mark(inputs, store, sheet);
    let alt = format!(
        "{} of images: {}",
        format::counted(sheet.record.rows, "row"),
        sheet.record.columns.join(", ")
    );
    let picture = PictureView::new(&store.name, &sheet.png, alt, mark)?;
    Ok(SheetView {
        title: sheet.record.title.clone(),
        columns: sheet.record.columns.clone(),
        picture: Some(picture),
        ..empty
    })
}

fn sheet_mark(inputs: &ReportInputs, store: &StoreInput, sheet: &SheetInput) -> Mark {
    match (sheet.record.inside, &store.manifest.origin) {
        (true, _) => Mark::Inside,
        (false, Origin::Cohort { .. }) => Mark::Unmarked,
        (false, Origin::Sampled(_)) if copies(inputs) => Mark::Copies,
        (false, Origin::Sampled(_)) if inputs.audit.is_some() => Mark::Audited,
        (false, Origin::Sampled(_)) => Mark::Synthetic,
    }
}

/// Whether the audit found copies of real images.
fn copies(inputs: &ReportInputs) -> bool {
    inputs.audit.as_ref().is_some_and(|audit| audit.record.confirmed + audit.record.held_out_copies > 0)
}

/// The most restricted mark of all pictures that a report of these inputs shows.
pub(crate) fn strictest(inputs: &ReportInputs) -> Option<Mark> {
    let stores = [&inputs.real, &inputs.synthetic].into_iter().flatten();
    let sheets = stores.filter_map(|store| Some(sheet_mark(inputs, store, store.sheet.as_ref()?)));
    let grids =
        inputs.runs.iter().filter(|run| run.samples.is_some()).map(|run| grid_mark(inputs, run.record.kind));
    sheets.chain(grids).max()
}

/// The mark of a run's sample grid.
pub(crate) fn grid_mark(inputs: &ReportInputs, kind: ModelKind) -> Mark {
    match kind {
        ModelKind::Generator if copies(inputs) => Mark::Copies,
        ModelKind::Generator => Mark::Synthetic,
        // A segmenter's pictures are images of its training or validation set, which may be patients.
        ModelKind::Segmenter => Mark::Inside,
    }
}

/// The colours of the classes in the sheets, of whichever store there is.
pub(crate) fn legend(inputs: &ReportInputs) -> Vec<LegendEntry> {
    let store = inputs.real.as_ref().or(inputs.synthetic.as_ref());
    store.map_or_else(Vec::new, |store| store.manifest.labels.classes.iter().map(LegendEntry::new).collect())
}

//! Training runs: what they learnt from and how it went.

use synthmr_core::records::{InputRecord, ModelKind};

use super::LineFigure;
use super::pictures::{self, PictureView};
use crate::error::ReportError;
use crate::figures;
use crate::format;
use crate::inputs::{ReportInputs, RunInput};

/// One run.
#[derive(Clone, Debug)]
pub(crate) struct RunView {
    pub(crate) name: String,
    pub(crate) kind: &'static str,
    /// What it learnt from and how far it came, in a sentence.
    pub(crate) progress: String,
    pub(crate) figures: Vec<LineFigure>,
    /// Values that have no figure because there are too many.
    pub(crate) left_out: String,
    pub(crate) samples: Option<PictureView>,
    pub(crate) is_generator: bool,
}

impl RunView {
    pub(crate) fn new(inputs: &ReportInputs, run: &RunInput) -> Result<Self, ReportError> {
        let is_generator = run.record.kind == ModelKind::Generator;
        let kind = if is_generator { "Generator" } else { "Segmenter" };
        let mark = pictures::grid_mark(inputs, run.record.kind);
        let samples = match &run.samples {
            Some(png) => {
                let alt = format!("Newest sample grid of {}", run.name);
                Some(PictureView::new(&format!("sample grid of {:?}", run.name), png, alt, mark)?)
            }
            None => None,
        };
        let seen = run.ticks.iter().map(|tick| tick.images_seen).max();
        let progress = match seen {
            Some(seen) => {
                format!(
                    "Learnt from {}; {} seen.",
                    sources(&run.record.inputs),
                    format::counted(seen, "image")
                )
            }
            None => format!("Learns from {}.", sources(&run.record.inputs)),
        };
        let (figures, left_out) = figures::training_figures(&run.ticks);
        let left_out = left_out.join(", ");
        Ok(Self { name: run.name.clone(), kind, progress, figures, left_out, samples, is_generator })
    }
}

/// Inputs as on the command line with the number of images: `ph.store:train (412 images)`.
pub(crate) fn sources(inputs: &[InputRecord]) -> String {
    if inputs.is_empty() {
        return "nothing recorded".to_owned();
    }
    let one = |input: &InputRecord| format!("{} ({})", source(input), format::counted(input.images, "image"));
    inputs.iter().map(one).collect::<Vec<_>>().join(" and ")
}

/// An input as on the command line: `ph.store:train*3`.
pub(crate) fn source(input: &InputRecord) -> String {
    let weight = input.weight.map_or_else(String::new, |weight| format!("*{weight}"));
    let colon = if input.split.is_empty() { "" } else { ":" };
    format!("{}{colon}{}{weight}", input.name, input.split)
}

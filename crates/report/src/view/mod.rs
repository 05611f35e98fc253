//! What the templates show: texts and figures computed from the records, a file a section.

mod audit;
mod cohort;
mod compare;
mod comparison;
mod pictures;
mod ranks;
mod realism;
mod results;
mod settings;
mod summary;
mod training;

use askama::Template;

use crate::encode;
use crate::error::ReportError;
use crate::figures::{DotFigure, LineFigure};
use crate::inputs::ReportInputs;
use audit::AuditView;
use cohort::{CohortView, LabelView};
use comparison::ComparisonView;
use pictures::{LegendEntry, SheetView};
pub(crate) use pictures::{Mark, PictureView, strictest};
use realism::RealismView;
use results::ResultsView;
use settings::SettingsView;
use summary::SummaryView;
use training::RunView;

/// The style sheet. It is admitted by its digest, so nothing else can style or fetch.
pub(crate) const CSS: &str = include_str!("../../templates/report.css");

/// The whole page.
#[derive(Template)]
#[template(path = "report.html")]
pub(crate) struct Page {
    title: String,
    css: &'static str,
    style_digest: String,
    version: &'static str,
    summary: SummaryView,
    cohort: Option<CohortView>,
    sheets: Vec<SheetView>,
    legend: Vec<LegendEntry>,
    labels: Option<LabelView>,
    runs: Vec<RunView>,
    realism: Option<RealismView>,
    results: Option<ResultsView>,
    comparisons: Vec<ComparisonView>,
    audit: Option<AuditView>,
    settings: SettingsView,
    /// What the banner over the whole page says, when a picture may show patients.
    mark: Option<Mark>,
}

impl Page {
    /// Computes everything that the page shows. The inputs have been checked against each other.
    pub(crate) fn new(inputs: &ReportInputs) -> Result<Self, ReportError> {
        let sheets = pictures::sheets(inputs)?;
        let runs = inputs.runs.iter().map(|run| RunView::new(inputs, run)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self {
            title: inputs.title.clone(),
            css: CSS,
            style_digest: encode::style_digest(CSS),
            version: env!("CARGO_PKG_VERSION"),
            summary: SummaryView::new(inputs),
            cohort: inputs.real.as_ref().and_then(CohortView::new),
            legend: pictures::legend(inputs),
            labels: inputs.synthetic.as_ref().and_then(LabelView::new),
            realism: RealismView::new(inputs),
            results: ResultsView::new(inputs),
            comparisons: inputs.comparisons.iter().map(ComparisonView::new).collect(),
            audit: inputs.audit.as_ref().map(AuditView::new),
            settings: SettingsView::new(inputs),
            mark: strictest(inputs).filter(|mark| *mark > Mark::Synthetic),
            sheets,
            runs,
        })
    }
}

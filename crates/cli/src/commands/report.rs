//! `synthmr report`: one HTML file about everything.

use std::path::PathBuf;

use synthmr_core::files;
use synthmr_data::store::{MANIFEST_FILE, SliceStore, StoreSelection};
use synthmr_report::{
    AuditInput, ComparisonInput, EvaluationInput, RealismInput, ReportInputs, RunInput, StoreInput, access,
    render,
};

use crate::console;
use crate::failure::Failure;

/// Put everything into one HTML file, which opens offline.
///
/// A file with pictures of the cohort can be read by its owner only.
#[derive(Debug, clap::Args)]
#[command(group(clap::ArgGroup::new("inputs").required(true).multiple(true)))]
pub(crate) struct Report {
    /// Store of the cohort.
    #[arg(long, value_name = "STORE", group = "inputs")]
    real: Option<StoreSelection>,
    /// Store of the synthetic set.
    #[arg(long, value_name = "STORE", group = "inputs")]
    synthetic: Option<StoreSelection>,
    /// Training run; may be repeated, shown in this order.
    #[arg(long = "run", value_name = "RUN", group = "inputs")]
    runs: Vec<PathBuf>,
    /// Evaluation with the name of its condition (real, synthetic, both or any other); may be repeated.
    #[arg(long = "evaluation", value_name = "NAME=FILE", value_parser = named_file, group = "inputs")]
    evaluations: Vec<(String, PathBuf)>,
    /// Comparison of conditions; may be repeated.
    #[arg(long = "comparison", value_name = "FILE", group = "inputs")]
    comparisons: Vec<PathBuf>,
    /// Measurement of realism; NAME= before it says which evaluation it belongs to, for ranks beside Dice. May be repeated.
    #[arg(long = "realism", value_name = "[NAME=]FILE", value_parser = maybe_named_file, group = "inputs")]
    realism: Vec<(Option<String>, PathBuf)>,
    /// Audit of the synthetic set: audit.json of its folder.
    #[arg(long, value_name = "FILE", group = "inputs")]
    audit: Option<PathBuf>,
    /// Heading of the page.
    #[arg(long, value_name = "TEXT", default_value = "Synthetic MR images")]
    title: String,
    /// HTML file that is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

/// `NAME=FILE`, a record with the name of its condition.
pub(super) fn named_file(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.into(), file.into())),
        _ => Err("expected NAME=FILE, for example synthetic=eval.json".to_owned()),
    }
}

/// `FILE`, or `NAME=FILE`.
fn maybe_named_file(text: &str) -> Result<(Option<String>, PathBuf), String> {
    match text.split_once('=') {
        Some(_) => named_file(text).map(|(name, path)| (Some(name), path)),
        None => Ok((None, text.into())),
    }
}

/// A store as the report sees it: its manifest and contact sheet, which belong to all of its parts.
fn store(flag: &str, selection: Option<&StoreSelection>) -> Result<Option<StoreInput>, Failure> {
    let Some(selection) = selection else { return Ok(None) };
    if let Some(part) = selection.split {
        let path = selection.path.display();
        console::note(&format!("note: {flag} {path}: the whole store is shown, not the part {part} alone"));
    }
    if !selection.path.join(MANIFEST_FILE).is_file() {
        // Fails, in the words in which every command says that something is no store.
        SliceStore::open(&selection.path)?;
    }
    Ok(Some(StoreInput::load(&selection.path)?))
}

impl Report {
    /// Reads the records and writes the page.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let inputs = ReportInputs {
            title: self.title.clone(),
            real: store("--real", self.real.as_ref())?,
            synthetic: store("--synthetic", self.synthetic.as_ref())?,
            runs: self.runs.iter().map(|run| RunInput::load(run)).collect::<Result<_, _>>()?,
            evaluations: self
                .evaluations
                .iter()
                .map(|(condition, path)| EvaluationInput::load(condition, path))
                .collect::<Result<_, _>>()?,
            comparisons: self
                .comparisons
                .iter()
                .map(|path| ComparisonInput::load(path))
                .collect::<Result<_, _>>()?,
            realism: self
                .realism
                .iter()
                .map(|(name, path)| RealismInput::load(name.as_deref(), path))
                .collect::<Result<_, _>>()?,
            audit: self.audit.as_deref().map(AuditInput::load).transpose()?,
        };
        let page = render(&inputs)?;
        files::write_with(&self.out, access(&inputs), |file| file.write_all(page.as_bytes()))?;
        console::result(&format!("{}: open it in a browser", self.out.display()));
        Ok(())
    }
}

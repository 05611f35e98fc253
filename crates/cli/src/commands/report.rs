//! `synthmr report`: one HTML file about everything.

use std::path::PathBuf;

use synthmr_core::files;
use synthmr_report::{EvaluationInput, ReportInputs, RunInput, StoreInput, render};

use crate::console;
use crate::failure::Failure;

/// Put everything into one HTML file, which opens offline.
#[derive(Debug, clap::Args)]
pub(crate) struct Report {
    /// Store of the cohort.
    #[arg(long, value_name = "STORE")]
    real: Option<PathBuf>,
    /// Store of the synthetic set.
    #[arg(long, value_name = "STORE")]
    synthetic: Option<PathBuf>,
    /// Training run; may be repeated, shown in this order.
    #[arg(long = "run", value_name = "RUN")]
    runs: Vec<PathBuf>,
    /// Evaluation with the name of its condition (real, synthetic, both or any other); may be repeated.
    #[arg(long = "evaluation", value_name = "NAME=FILE", value_parser = evaluation)]
    evaluations: Vec<(String, PathBuf)>,
    /// Heading of the page.
    #[arg(long, value_name = "TEXT", default_value = "Synthetic MR images")]
    title: String,
    /// HTML file that is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

fn evaluation(text: &str) -> Result<(String, PathBuf), String> {
    match text.split_once('=') {
        Some((name, file)) if !name.is_empty() && !file.is_empty() => Ok((name.into(), file.into())),
        _ => Err("expected NAME=FILE, for example synthetic=eval.json".to_owned()),
    }
}

impl Report {
    /// Reads the records and writes the page.
    pub(crate) fn run(&self) -> Result<(), Failure> {
        let store = |path: &Option<PathBuf>| path.as_deref().map(StoreInput::load).transpose();
        let inputs = ReportInputs {
            title: self.title.clone(),
            real: store(&self.real)?,
            synthetic: store(&self.synthetic)?,
            runs: self.runs.iter().map(|run| RunInput::load(run)).collect::<Result<_, _>>()?,
            evaluations: self
                .evaluations
                .iter()
                .map(|(condition, path)| EvaluationInput::load(condition, path))
                .collect::<Result<_, _>>()?,
        };
        files::write(&self.out, render(&inputs)?.as_bytes())?;
        console::result(&format!("{}: open it in a browser", self.out.display()));
        Ok(())
    }
}

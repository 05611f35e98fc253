//! `synthmr check`: everything that is wrong with a cohort.

use std::path::PathBuf;

use synthmr_data::cohort;

use crate::arguments::Common;
use crate::console;
use crate::engine::set_up_threads;
use crate::failure::{Code, Failure};

/// List everything that is wrong with a cohort.
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Folder of subjects with BraTS names, or with a cohort.toml.
    #[arg(value_name = "COHORT")]
    cohort: PathBuf,
}

impl Check {
    /// Reads every volume and prints the findings; faults end with exit code 3.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        set_up_threads(common);
        let report = cohort::check(&self.cohort)?;
        let (faults, warnings) = (report.fault_count(), report.warning_count());
        if common.json {
            console::json(&report)?;
        } else {
            report.findings.iter().for_each(|finding| console::result(&finding.to_string()));
            console::result(&format!(
                "{} subjects, {} volumes: {faults} faults, {warnings} warnings",
                report.subjects, report.volumes
            ));
        }
        if faults == 0 {
            return Ok(());
        }
        let words = format!(
            "{}: {faults} faults keep this cohort from being imported\nhint: each one above says what to do",
            self.cohort.display()
        );
        Err(Failure::in_words(Code::Input, &words))
    }
}

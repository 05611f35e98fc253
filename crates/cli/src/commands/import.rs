//! `synthmr import`: from a cohort to a store of slices.

use std::path::{Path, PathBuf};

use synthmr_core::files;
use synthmr_data::cohort;
use synthmr_data::import::{ImportError, ImportOptions, ImportSummary, import};
use synthmr_data::prepare::{Preparation, Recipe};
use synthmr_data::split::SplitRequest;

use crate::arguments::Common;
use crate::console;
use crate::engine::set_up_threads;
use crate::failure::{Code, Failure};
use crate::watch::StopFlag;

/// Divide a cohort by subject and prepare its slices.
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// Folder of subjects with BraTS names, or with a cohort.toml.
    #[arg(value_name = "COHORT")]
    cohort: PathBuf,
    /// Store that is made.
    #[arg(long, value_name = "STORE")]
    out: PathBuf,
    /// Rows and columns of a slice.
    #[arg(long, value_name = "PIXELS", default_value_t = 64)]
    resolution: usize,
    /// How volumes become slices: paper (as published) or robust (against outliers).
    #[arg(long, value_name = "RECIPE", default_value_t = Recipe::default())]
    recipe: Recipe,
    /// Parts with their fractions, paper-brats2020, paper-brats2021, or a file of lines `SUBJECT PART`.
    #[arg(long, value_name = "SPLIT", default_value = "train=0.6,val=0.1,control=0.1,test=0.2")]
    split: String,
    /// Seed of the division.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Secret key of the pseudonyms; give the same one to import a cohort again under the same pseudonyms. Other
    /// users of this machine see it in the list of processes [default: drawn by the system's generator].
    #[arg(long, value_name = "NUMBER", conflicts_with = "pseudonym_key_file")]
    pseudonym_key: Option<u64>,
    /// File with the secret key of the pseudonyms, one number; a hospital that keeps its own key gives it this
    /// way, so that it shows in no list of processes and in no history of the shell.
    #[arg(long, value_name = "FILE")]
    pseudonym_key_file: Option<PathBuf>,
}

impl Import {
    /// Makes the store.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        set_up_threads(common);
        let stop = StopFlag::new()?;
        let options = ImportOptions {
            preparation: Preparation::new(self.recipe, self.resolution)?,
            split: SplitRequest::parse(&self.split)?,
            seed: self.seed,
            pseudonym_key: self.key()?,
        };
        let cohort = cohort::discover(&self.cohort)?;
        cohort.warnings.iter().for_each(|warning| console::note(&warning.to_string()));
        if stop.wish().is_break() {
            return Err(ImportError::Interrupted.into());
        }
        let summary = import(&cohort, &self.out, &options, &|progress| {
            let (done, all) = (progress.subjects_done, progress.subjects);
            console::note(&format!("subject {done} of {all}, {} slices", progress.slices));
            stop.wish()
        })?;
        summary.warnings.iter().for_each(|warning| console::note(&warning.to_string()));
        for subject in &summary.without_slices {
            let subject = subject.as_str();
            console::note(&format!("warning: {subject}: no slice passed the recipe's threshold"));
        }
        if common.json { console::json(&summary.manifest) } else { self.print(&summary) }
    }

    fn key(&self) -> Result<u64, Failure> {
        match (self.pseudonym_key, &self.pseudonym_key_file) {
            (Some(key), _) => Ok(key),
            (None, Some(path)) => key_from(path),
            (None, None) => getrandom::u64().map_err(|e| Failure::new(Code::Environment, &e)),
        }
    }

    fn print(&self, summary: &ImportSummary) -> Result<(), Failure> {
        let rows: Vec<Vec<String>> = summary
            .parts
            .iter()
            .map(|(part, count)| vec![part.to_string(), count.subjects.to_string(), count.slices.to_string()])
            .collect();
        console::result(&console::table(&["part", "subjects", "slices"], &rows));
        let classes = &summary.manifest.labels.classes;
        let shares: Vec<String> = classes
            .iter()
            .zip(&summary.class_share)
            .map(|(class, share)| format!("{} {:.2} %", class.name, 100.0 * share))
            .collect();
        console::result(&format!("pixels: {}", shares.join(", ")));
        console::result(&format!("{}: {} slices", self.out.display(), summary.manifest.slices));
        Ok(())
    }
}

/// The key in a file. What else the file holds is never printed: it may be another secret.
fn key_from(path: &Path) -> Result<u64, Failure> {
    files::read_text(path)?.trim().parse().map_err(|_| {
        let words = format!(
            "{}: expected one number from 0 to {} and nothing else\n\
             hint: `od -An -N8 -tu8 /dev/urandom` prints a number that nobody can guess",
            path.display(),
            u64::MAX
        );
        Failure::in_words(Code::Input, &words)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_file_holds_one_number() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("key");
        std::fs::write(&path, " 18446744073709551615\n").unwrap();
        assert_eq!(key_from(&path).unwrap(), u64::MAX);
        for text in ["", "12 13", "-1", "18446744073709551616", "hunter2"] {
            std::fs::write(&path, text).unwrap();
            let failure = key_from(&path).unwrap_err();
            assert_eq!(failure.code(), Code::Input);
            let words = failure.to_string();
            assert!(words.contains("one number") && !words.contains("hunter2"), "{words}");
        }
    }
}

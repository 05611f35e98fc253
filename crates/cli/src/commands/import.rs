//! `synthmr import`: from a cohort to a store of slices.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::path::PathBuf;

use synthmr_data::cohort;
use synthmr_data::import::{ImportOptions, ImportSummary, import};
use synthmr_data::prepare::{Preparation, Recipe};
use synthmr_data::split::SplitRequest;

use crate::arguments::Common;
use crate::console;
use crate::engine::set_up_threads;
use crate::failure::Failure;

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
    /// Secret key of the pseudonyms; give the same one to import a cohort again under the same pseudonyms
    /// [default: drawn at random].
    #[arg(long, value_name = "NUMBER")]
    pseudonym_key: Option<u64>,
}

impl Import {
    /// Makes the store.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        set_up_threads(common);
        let options = ImportOptions {
            preparation: Preparation::new(self.recipe, self.resolution)?,
            split: SplitRequest::parse(&self.split)?,
            seed: self.seed,
            pseudonym_key: self.pseudonym_key.unwrap_or_else(random_key),
        };
        let cohort = cohort::discover(&self.cohort)?;
        cohort.warnings.iter().for_each(|warning| console::note(&warning.to_string()));
        let summary = import(&cohort, &self.out, &options, &|progress| {
            let (done, all) = (progress.subjects_done, progress.subjects);
            console::note(&format!("subject {done} of {all}, {} slices", progress.slices));
        })?;
        for subject in &summary.without_slices {
            let subject = subject.as_str();
            console::note(&format!("warning: {subject}: no slice passed the recipe's threshold"));
        }
        if common.json { console::json(&summary.manifest) } else { self.print(&summary) }
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

/// A number that nobody can guess: the standard library keys its hash maps from the system's generator.
fn random_key() -> u64 {
    RandomState::new().build_hasher().finish()
}

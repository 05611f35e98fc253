//! Whom a segmenter has seen: a test on a subject that it learnt from says nothing.

use std::path::Path;

use serde::{Deserialize, Serialize};
use synthmr_core::records::{InputRecord, Origin, SCHEMA};
use synthmr_core::{Digest, Split, files};
use synthmr_data::store::SliceStore;

use crate::TrainError;

/// The file in the folder of a run.
const FILE: &str = "subjects.json";

/// `subjects.json`: the subjects and stores behind a training.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Seen {
    schema: u32,
    /// Pseudonyms of subjects that it learnt from.
    train: Vec<Digest>,
    /// Pseudonyms of subjects on which the network was chosen.
    val: Vec<Digest>,
    /// Stores that the generators of its synthetic images learnt from, with their parts.
    generators: Vec<InputRecord>,
}

impl Seen {
    /// Of the `train` and `val` parts of stores.
    pub(super) fn of<'a>(stores: impl Iterator<Item = &'a SliceStore>) -> Self {
        let mut seen = Self { schema: SCHEMA, ..Self::default() };
        for store in stores {
            match &store.manifest().origin {
                Origin::Cohort { subjects, .. } => {
                    let of = |split: Split| {
                        let of_part = subjects.iter().filter(move |subject| subject.split == split);
                        of_part.map(|subject| subject.pseudonym.clone())
                    };
                    seen.train.extend(of(Split::Train));
                    seen.val.extend(of(Split::Val));
                }
                Origin::Sampled(record) => {
                    let inputs = record.generators.iter().flat_map(|generator| &generator.trained_on);
                    seen.generators.extend(inputs.cloned());
                }
            }
        }
        seen
    }

    /// Writes it into the folder of a run.
    pub(super) fn write(&self, run: &Path) -> Result<(), TrainError> {
        Ok(files::write_json(&run.join(FILE), self)?)
    }

    /// Of a run; nothing where the file is not there, as in runs of earlier versions.
    pub(super) fn read(run: &Path) -> Result<Option<Self>, TrainError> {
        let path = run.join(FILE);
        Ok(path.exists().then(|| files::read_record(&path, SCHEMA)).transpose()?)
    }

    /// Refuses slices of subjects that the segmenter of `run` learnt from, by itself or through a generator. Words for a
    /// person where the network was chosen on some of them.
    pub(super) fn check(
        &self,
        run: &str,
        store: &SliceStore,
        indices: &[u32],
        split: Split,
    ) -> Result<Option<String>, TrainError> {
        let Origin::Cohort { subjects, .. } = &store.manifest().origin else { return Ok(None) };
        let mut tested: Vec<u32> =
            indices.iter().filter_map(|&index| store.subject(index as usize)).collect();
        tested.dedup();
        let tested = || tested.iter().filter_map(|&subject| subjects.get(subject as usize));
        let refused = |found: String| TrainError::Mismatch {
            what: format!("subjects of {}:{split}", store.path().display()),
            expected: format!("subjects that {run} has not learnt from"),
            found,
            hint: "test on a part that was held out, of the same fold".into(),
        };
        if let Some(subject) = tested().find(|subject| self.train.contains(&subject.pseudonym)) {
            return Err(refused(format!("subject {}, on which it was trained", subject.pseudonym.short())));
        }
        let through = |input: &&InputRecord| {
            let whole = input.split.is_empty();
            input.digest == *store.digest() && (whole || input.split == split.to_string())
        };
        if let Some(input) = self.generators.iter().find(through) {
            let words =
                format!("{}:{}, from which a generator of its images learnt", input.name, input.split);
            return Err(refused(words));
        }
        let chosen = tested().filter(|subject| self.val.contains(&subject.pseudonym)).count();
        Ok((chosen > 0).then(|| {
            format!("{run} was chosen among its checkpoints on {chosen} of these subjects: its values are too good")
        }))
    }
}

//! `synthmr evaluate`: a segmenter on held-out subjects.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use synthmr_core::records::{
    EvaluationRecord, EvaluationSettings, InputRecord, Interval, MetricSummary, MetricValues, Origin,
    PenalisedRecord, SCHEMA, SubjectRecord, SubjectResult, Tool,
};
use synthmr_core::{Digest, LabelScheme, Split, files};
use synthmr_data::cohort;
use synthmr_data::prepare::restore::{Restorer, SliceLabels};
use synthmr_data::store::{SliceStore, StoreSelection};
use synthmr_metrics::{
    EMPTY_RULE, Hd95Convention, MetricsError, PENALTY_RULE, Summaries, evaluate_subject, penalised, summarise,
};
use synthmr_train::Outcome;
use synthmr_train::segmentation::{Predictor, Segmenter, SubjectPrediction, Weights, predict_store};

use crate::arguments::Common;
use crate::console;
use crate::engine::EngineOptions;
use crate::failure::{Code, Failure};
use crate::watch::Terminal;

/// Bootstrap resamples: the ends of a 95 % interval move by less than a tenth of its width beyond this.
pub(super) const RESAMPLES: usize = 10_000;
/// Level of the intervals.
pub(super) const LEVEL: f64 = 0.95;

/// Test a segmenter on held-out subjects; several together predict by the mean of their probabilities.
///
/// Writes the record as JSON, and every subject's values as CSV beside it.
#[derive(Debug, clap::Args)]
pub(crate) struct Evaluate {
    /// Run of a segmenter; several, such as seeds of one recipe, are an ensemble.
    #[arg(value_name = "RUN", required = true, num_args = 1..)]
    runs: Vec<PathBuf>,
    /// Predict with the weights after the last step instead of those with the best validation score.
    #[arg(long)]
    last: bool,
    /// Show every image from the other side as well, left and right exchanged, and predict by the mean.
    #[arg(long)]
    mirror: bool,
    /// Store of the cohort.
    #[arg(long, value_name = "STORE[:part]")]
    data: StoreSelection,
    /// Part to test on [default: test].
    #[arg(long, value_name = "PART")]
    split: Option<Split>,
    /// JSON file that is written; the CSV file has the same name.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Folder for the predictions as volumes, SUBJECT.nii.gz on the grid of the subject's own annotation. Their names are
    /// those of the cohort: they stay where the cohort is.
    #[arg(long, value_name = "FOLDER", requires = "cohort")]
    volumes: Option<PathBuf>,
    /// The cohort that the store was imported from; needed for volumes alone.
    #[arg(long, value_name = "COHORT", requires = "volumes")]
    cohort: Option<PathBuf>,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    engine: EngineOptions,
}

impl Evaluate {
    /// Predicts, scores, writes and prints.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        let split = self.part()?;
        check_out(&self.out)?;
        files::check_target(&self.out)?;
        let engine = self.engine.set_up(common)?;
        let weights = if self.last { Weights::Last } else { Weights::Best };
        let load = |run: &PathBuf| Segmenter::load(run, weights, engine.device);
        let predictor = Predictor::new(self.runs.iter().map(load).collect::<Result<_, _>>()?, self.mirror)?;
        let notes = predictor.members().iter().flat_map(Segmenter::notes);
        notes.for_each(|note| console::note(&format!("note: {note}")));
        let selection = StoreSelection { path: self.data.path.clone(), split: Some(split) };
        let (store, indices) = selection.open()?;
        let manifest = store.manifest();
        let split_digest = self.split_digest(&manifest.origin)?;
        store.verify()?;
        self.check_members(&predictor, &store, &indices, split)?;
        let scheme = &manifest.labels;

        let volumes = self.volumes(&store)?;
        let mut watch = Terminal::new("slices")?;
        let mut subjects: Vec<SubjectResult> = Vec::new();
        let outcome = predict_store(&predictor, &store, &indices, &mut watch, &mut |prediction| {
            let Some(scored) = score(&prediction, scheme) else { return Ok(()) };
            let subject = prediction.subject.as_ref().map_or("", |subject| subject.pseudonym.short());
            subjects.push(scored.map_err(|error| {
                let words = format!("{}, subject {subject}: {error}", self.data.path.display());
                Failure::in_words(Code::Input, &words)
            })?);
            volumes.as_ref().map_or(Ok(()), |volumes| volumes.write(&prediction))
        })?;
        watch.finish();
        if outcome == Outcome::Interrupted {
            let words = "interrupted; no record was written\nhint: run the same command again";
            return Err(Failure::in_words(Code::Interrupted, words));
        }
        for class in absent_classes(&subjects) {
            console::note(&format!(
                "note: class {class} is in no tested subject: its values say only whether something was marked where \
                 nothing is"
            ));
        }
        let settings = EvaluationSettings {
            empty_rule: EMPTY_RULE.to_owned(),
            mirrored: self.mirror,
            hd95_rule: Hd95Convention::Medpy.rule().to_owned(),
            resamples: RESAMPLES,
            seed: self.seed,
            level: LEVEL,
        };
        let summaries = summarise(&subjects, scheme, &settings)?;
        let Summaries { classes, regions, mean } = summarise(&penalised(&subjects), scheme, &settings)?;
        let record = EvaluationRecord {
            schema: SCHEMA,
            tool: Tool::this(),
            models: self
                .runs
                .iter()
                .zip(predictor.members())
                .map(|(run, member)| model(run, member))
                .collect(),
            trained_on: inputs(predictor.members()),
            data: InputRecord {
                name: files::name_of(&self.data.path),
                digest: store.digest().clone(),
                split: split.to_string(),
                weight: None,
                images: indices.len(),
            },
            split_digest,
            settings,
            classes: summaries.classes,
            regions: summaries.regions,
            mean: summaries.mean,
            penalised: PenalisedRecord { rule: PENALTY_RULE.to_owned(), classes, regions, mean },
            subjects,
        };
        // The CSV first: where the JSON is, both are.
        files::write(&self.out.with_extension("csv"), csv(&record).as_bytes())?;
        files::write_json(&self.out, &record)?;
        if common.json { console::json(&record) } else { self.print(&record, scheme) }
    }

    /// The part may be given with the store, by `--split`, or twice if it is the same.
    fn part(&self) -> Result<Split, Failure> {
        match (self.data.split, self.split) {
            (Some(with_store), Some(by_flag)) if with_store != by_flag => Err(Failure::in_words(
                Code::Usage,
                &format!("--data names the part {with_store}, --split {by_flag}\nhint: give one of them"),
            )),
            (with_store, by_flag) => Ok(with_store.or(by_flag).unwrap_or(Split::Test)),
        }
    }

    /// Refuses one checkpoint given twice, and subjects that a network has learnt from.
    fn check_members(
        &self,
        predictor: &Predictor,
        store: &SliceStore,
        indices: &[u32],
        split: Split,
    ) -> Result<(), Failure> {
        let members = predictor.members();
        for (place, (run, member)) in self.runs.iter().zip(members).enumerate() {
            if let Some(other) = members[..place].iter().position(|other| other.digest() == member.digest()) {
                let words = format!(
                    "{}: the same checkpoint as {}\nhint: an ensemble is of different trainings",
                    run.display(),
                    self.runs[other].display()
                );
                return Err(Failure::in_words(Code::Usage, &words));
            }
            let note = member.check_unseen(&files::name_of(run), store, indices, split)?;
            note.into_iter().for_each(|note| console::note(&format!("note: {note}")));
        }
        Ok(())
    }

    /// What writes the predictions as volumes, when they are wanted.
    fn volumes(&self, store: &SliceStore) -> Result<Option<Volumes<'_>>, Failure> {
        let (Some(folder), Some(cohort)) = (&self.volumes, &self.cohort) else { return Ok(None) };
        let restorer = Restorer::new(store, cohort::discover(cohort)?)?;
        Ok(Some(Volumes { folder, restorer }))
    }

    fn split_digest(&self, origin: &Origin) -> Result<Digest, Failure> {
        match origin {
            Origin::Cohort { split, .. } => Ok(split.digest.clone()),
            Origin::Sampled(_) => Err(Failure::in_words(
                Code::Usage,
                &format!(
                    "{}: expected a cohort's store, found a synthetic set\n\
                     hint: segmenters are tested on real subjects that were held out",
                    self.data.path.display()
                ),
            )),
        }
    }

    fn print(&self, record: &EvaluationRecord, scheme: &LabelScheme) -> Result<(), Failure> {
        let row = |name: &str, summary: &MetricSummary| {
            vec![
                name.to_owned(),
                interval(&summary.dice, 3),
                interval(&summary.lesion_dice, 3),
                interval(&summary.precision, 3),
                interval(&summary.recall, 3),
                interval(&summary.hd95, 1),
                interval(&summary.assd, 1),
            ]
        };
        let mut rows = Vec::new();
        for (_, class) in scheme.foreground() {
            rows.extend(record.classes.get(&class.name).map(|summary| row(&class.name, summary)));
        }
        for region in &scheme.regions {
            let name = format!("region {}", region.name);
            rows.extend(record.regions.get(&region.name).map(|summary| row(&name, summary)));
        }
        rows.push(row("mean of classes", &record.mean));
        rows.push(row("the same, empty masks penalised", &record.penalised.mean));
        let heading = ["", "Dice", "lesion-wise Dice", "precision", "recall", "HD95 mm", "ASSD mm"];
        console::result(&console::table(&heading, &rows));
        console::result(&format!(
            "{}: {} subjects, means with {:.0} % bootstrap intervals over them",
            self.out.display(),
            record.subjects.len(),
            100.0 * record.settings.level
        ));
        Ok(())
    }
}

/// A folder of predicted volumes.
struct Volumes<'a> {
    folder: &'a Path,
    restorer: Restorer,
}

impl Volumes<'_> {
    /// One subject's prediction; nothing for a synthetic image.
    fn write(&self, prediction: &SubjectPrediction) -> Result<(), Failure> {
        let Some(subject) = &prediction.subject else { return Ok(()) };
        files::create_folder(self.folder)?;
        let labels = SliceLabels {
            subject: &subject.pseudonym,
            slices: &prediction.slices,
            truth: &prediction.truth,
            labels: &prediction.prediction,
        };
        self.restorer.write(&labels, self.folder)?;
        Ok(())
    }
}

/// The checkpoint that a run's weights come from.
fn model(run: &Path, segmenter: &Segmenter) -> InputRecord {
    InputRecord {
        name: files::name_of(run),
        digest: segmenter.digest().clone(),
        split: String::new(),
        weight: None,
        images: segmenter.record().inputs.iter().map(|input| input.images).sum(),
    }
}

/// What the segmenters were trained on, each input once.
fn inputs(segmenters: &[Segmenter]) -> Vec<InputRecord> {
    let mut inputs: Vec<InputRecord> = Vec::new();
    for input in segmenters.iter().flat_map(|segmenter| &segmenter.record().inputs) {
        if !inputs.contains(input) {
            inputs.push(input.clone());
        }
    }
    inputs
}

/// One subject's values; none for a synthetic image. Slices that the recipe left out lie between kept ones at
/// their distance, empty in truth and prediction.
fn score(
    prediction: &SubjectPrediction,
    scheme: &LabelScheme,
) -> Option<Result<SubjectResult, MetricsError>> {
    let subject = prediction.subject.as_ref()?;
    let SubjectRecord { pseudonym, spacing_mm: [rows, columns, between], .. } = subject;
    let (first, last) = (*prediction.slices.first()?, *prediction.slices.last()?);
    let depth = last.abs_diff(first) as usize + 1;
    let plane = prediction.height * prediction.width;
    let volume = |kept: &[u8]| {
        let mut volume = vec![0u8; depth * plane];
        for (slice, map) in prediction.slices.iter().zip(kept.chunks_exact(plane)) {
            let start = slice.abs_diff(first) as usize * plane;
            volume[start..start + plane].copy_from_slice(map);
        }
        volume
    };
    let shape = [depth, prediction.height, prediction.width];
    let (truth, predicted) = (volume(&prediction.truth), volume(&prediction.prediction));
    let scored = evaluate_subject(&truth, &predicted, shape, [*between, *rows, *columns], scheme);
    let extent_mm =
        [depth as f64 * between, prediction.height as f64 * rows, prediction.width as f64 * columns];
    Some(scored.map(|(classes, regions)| SubjectResult {
        subject: pseudonym.clone(),
        slices: prediction.slices.len(),
        diagonal_mm: extent_mm.iter().map(|extent| extent * extent).sum::<f64>().sqrt(),
        classes,
        regions,
    }))
}

/// Classes that no subject has.
fn absent_classes(subjects: &[SubjectResult]) -> Vec<&String> {
    let names = subjects.iter().take(1).flat_map(|subject| subject.classes.keys());
    let absent = |name: &&String| subjects.iter().all(|subject| subject.classes[*name].truth_voxels == 0);
    names.filter(absent).collect()
}

/// The CSV file takes the name of the JSON file with its own extension: any other would be confusing, and with
/// `.csv` the one would overwrite the other.
fn check_out(out: &Path) -> Result<(), Failure> {
    if out.extension().is_some_and(|extension| extension == "json") {
        return Ok(());
    }
    let words = format!(
        "--out {}: expected a file name that ends in .json\nhint: for example {}; the CSV file is written beside it",
        out.display(),
        out.with_extension("json").display()
    );
    Err(Failure::in_words(Code::Usage, &words))
}

/// `0.812 [0.770, 0.851]`; the mean alone when one subject has a value, a dash when none has.
pub(super) fn interval(interval: &Interval, digits: usize) -> String {
    match (interval.mean, interval.low, interval.high) {
        (Some(mean), Some(low), Some(high)) => format!("{mean:.digits$} [{low:.digits$}, {high:.digits$}]"),
        (Some(mean), ..) => format!("{mean:.digits$}"),
        (None, ..) => "-".to_owned(),
    }
}

/// A line for each subject and class or region; undefined values are empty.
fn csv(record: &EvaluationRecord) -> String {
    let mut out = String::from(
        "subject,slices,kind,name,dice,precision,recall,hd_mm,hd95_mm,assd_mm,lesion_dice,truth_voxels,\
         prediction_voxels,truth_lesions,prediction_lesions,matched_lesions\n",
    );
    for SubjectResult { subject, slices, classes, regions, .. } in &record.subjects {
        let of_classes = classes.iter().map(|entry| ("class", entry));
        for (kind, (name, values)) in of_classes.chain(regions.iter().map(|entry| ("region", entry))) {
            let MetricValues { dice, precision, recall, hd, hd95, assd, lesion_dice, .. } = *values;
            let _ = write!(out, "{subject},{slices},{kind},{}", csv_field(name));
            for value in [dice, precision, recall, hd, hd95, assd, lesion_dice] {
                let _ = write!(out, ",{}", value.map_or_else(String::new, |value| value.to_string()));
            }
            let MetricValues { truth_voxels, prediction_voxels, .. } = *values;
            let MetricValues { truth_lesions, prediction_lesions, matched_lesions, .. } = *values;
            let _ = write!(out, ",{truth_voxels},{prediction_voxels}");
            let _ = writeln!(out, ",{truth_lesions},{prediction_lesions},{matched_lesions}");
        }
    }
    out
}

/// A name from a cohort's description may hold anything; RFC 4180 quotes it.
fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_that_were_left_out_keep_their_place() {
        let subject = SubjectRecord {
            pseudonym: Digest::of(b"a"),
            split: Split::Test,
            slices: 2,
            spacing_mm: [1.0, 1.0, 2.0],
        };
        // The tumour is in slice 3, the prediction in slice 5: 2 slices of 2 mm apart.
        let prediction = SubjectPrediction {
            subject: Some(subject),
            slices: vec![3, 5],
            height: 1,
            width: 2,
            truth: vec![1, 1, 0, 0],
            prediction: vec![0, 0, 1, 1],
        };
        let result = score(&prediction, &LabelScheme::brats()).unwrap().unwrap();
        assert_eq!(result.classes["NCR"].hd, Some(4.0));
        assert_eq!((result.classes["NCR"].dice, result.slices), (Some(0.0), 2));
    }

    #[test]
    fn one_subject_has_a_mean_and_no_interval() {
        let one = Interval { mean: Some(0.8124), low: None, high: None, n: 1 };
        assert_eq!(interval(&one, 3), "0.812");
        assert_eq!(interval(&Interval { low: Some(0.7), high: Some(0.9), n: 2, ..one }, 1), "0.8 [0.7, 0.9]");
        assert_eq!(interval(&Interval::default(), 3), "-");
    }

    #[test]
    fn the_record_and_the_table_cannot_be_one_file() {
        for good in ["eval.json", "a.csv/eval.x.json"] {
            assert!(check_out(Path::new(good)).is_ok(), "{good}");
        }
        for bad in ["eval.csv", "eval", ".json", "eval.json.gz"] {
            assert!(check_out(Path::new(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_are_quoted_where_csv_needs_it() {
        assert_eq!(csv_field("NCR"), "NCR");
        assert_eq!(csv_field("a,\"b\""), "\"a,\"\"b\"\"\"");
    }
}

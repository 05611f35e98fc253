//! `synthmr compare`: conditions beside a reference on the same held-out subjects.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use synthmr_core::files;
use synthmr_core::records::{
    ComparisonRecord, ComparisonRow, ConditionRecord, EvaluationRecord, EvaluationSettings, InputRecord,
    SCHEMA, Scored, SubjectResult, Tool,
};
use synthmr_metrics::statistics::Bootstrap;
use synthmr_metrics::{Condition, METRIC_NAMES, compare};

use super::evaluate::{LEVEL, RESAMPLES, interval};
use super::report::named_file;
use crate::arguments::Common;
use crate::console;
use crate::failure::{Code, Failure};

/// Fewer subjects than this make percentile intervals too narrow to be trusted.
const FEW_SUBJECTS: usize = 15;
/// Fewer seeds than this say little about how much trainings differ.
const FEW_SEEDS: usize = 5;

/// Compare conditions (real, synthetic, both, ...) subject by subject.
///
/// Evaluations of one name are seeds of one condition. Cross-validation: the evaluations of the folds, joined by commas, are
/// one seed. Differences and ratios come with bootstrap intervals over subjects and seeds, and with Wilcoxon signed-rank
/// tests over subjects, corrected by Holm's method over classes and means.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// Evaluations with the names of their conditions, such as real=eval-0.json real=eval-1.json synthetic=eval-2.json.
    #[arg(value_name = "NAME=FILE[,FILE...]", value_parser = named_files, required = true, num_args = 2..)]
    evaluations: Vec<(String, Vec<PathBuf>)>,
    /// Condition that the others are compared with [default: the first one named].
    #[arg(long, value_name = "NAME")]
    reference: Option<String>,
    /// Metric that is compared.
    #[arg(long, value_name = "METRIC", default_value = "dice", value_parser = METRIC_NAMES)]
    metric: String,
    /// JSON file that is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed of the bootstrap.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

/// `NAME=FILE,FILE,...`: a condition's evaluation, in folds where there are several files.
fn named_files(text: &str) -> Result<(String, Vec<PathBuf>), String> {
    let (name, files) = named_file(text)?;
    let files: Vec<PathBuf> = files.to_string_lossy().split(',').map(PathBuf::from).collect();
    if files.iter().any(|file| file.as_os_str().is_empty()) {
        return Err("expected a file between two commas".to_owned());
    }
    Ok((name, files))
}

/// One seed of a condition.
struct Seed {
    /// Its evaluations, one a fold.
    folds: Vec<EvaluationRecord>,
    /// The subjects of all folds.
    subjects: Vec<SubjectResult>,
}

/// The evaluations of one condition.
struct Group {
    name: String,
    seeds: Vec<Seed>,
}

impl Compare {
    /// Reads, compares, writes and prints.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        let same = |path: &PathBuf| *path == self.out || same_file(path, &self.out);
        if self.evaluations.iter().any(|(_, paths)| paths.iter().any(same)) {
            let words = format!("--out {}: this file is one of the evaluations", self.out.display());
            return Err(Failure::in_words(Code::Usage, &words));
        }
        files::check_target(&self.out)?;
        let mut groups = self.groups()?;
        let reference = self.reference.as_ref().unwrap_or(&self.evaluations[0].0);
        let Some(position) = groups.iter().position(|group| group.name == *reference) else {
            let words = format!("--reference {reference}: no evaluation has this name");
            return Err(Failure::in_words(Code::Usage, &words));
        };
        let reference = groups.remove(position);
        if groups.is_empty() {
            let words = format!("expected at least two conditions, found {} alone", reference.name);
            return Err(Failure::in_words(Code::Usage, &words));
        }
        let bootstrap = Bootstrap::new(RESAMPLES, self.seed, LEVEL)?;
        let conditions: Vec<Condition<'_>> = groups.iter().map(Group::condition).collect();
        let rows = compare(&reference.condition(), &conditions, &self.metric, &bootstrap)?;
        let folds = &reference.seeds[0].folds;
        let record = ComparisonRecord {
            schema: SCHEMA,
            tool: Tool::this(),
            metric: self.metric.clone(),
            data: folds.iter().map(|fold| fold.data.clone()).collect(),
            settings: EvaluationSettings {
                resamples: RESAMPLES,
                seed: self.seed,
                level: LEVEL,
                ..folds[0].settings.clone()
            },
            warnings: warnings(&reference, &groups, &rows),
            reference: reference.record(),
            conditions: groups.iter().map(Group::record).collect(),
            rows,
        };
        files::write_json(&self.out, &record)?;
        if common.json { console::json(&record) } else { self.print(&record) }
    }

    /// The evaluations by condition, in the order of their first; all must be of the same subjects by the same rules.
    fn groups(&self) -> Result<Vec<Group>, Failure> {
        let mut groups: Vec<Group> = Vec::new();
        for (name, paths) in &self.evaluations {
            let seed = Seed::read(paths)?;
            let (_, first_paths) = &self.evaluations[0];
            if paths.len() != first_paths.len() {
                let words = format!(
                    "{name}: expected {} evaluations, one a fold, as in the first condition, found {}\n\
                     hint: every seed needs the same folds",
                    first_paths.len(),
                    paths.len()
                );
                return Err(Failure::in_words(Code::Input, &words));
            }
            // The first evaluation is the first group's first seed.
            for (fold, path) in paths.iter().enumerate() {
                let first = groups.first().map_or(&seed, |group| &group.seeds[0]);
                same_test(path, &seed.folds[fold], &first_paths[fold], &first.folds[fold])?;
            }
            match groups.iter_mut().find(|group| group.name == *name) {
                Some(group) => group.seeds.push(seed),
                None => groups.push(Group { name: name.clone(), seeds: vec![seed] }),
            }
        }
        let mut known = BTreeSet::new();
        for group in &groups {
            for model in group.seeds.iter().flat_map(Seed::models) {
                if !known.insert(&model.digest) {
                    let words = format!(
                        "{}: the checkpoint of {} was given twice\n\
                         hint: seeds and conditions are trainings of their own",
                        group.name, model.name
                    );
                    return Err(Failure::in_words(Code::Input, &words));
                }
            }
        }
        Ok(groups)
    }

    fn print(&self, record: &ComparisonRecord) -> Result<(), Failure> {
        let p = |p: Option<f64>| match p {
            Some(p) if p < 0.001 => "<0.001".to_owned(),
            Some(p) => format!("{p:.3}"),
            None => "-".to_owned(),
        };
        let row = |row: &ComparisonRow| {
            let name = match row.scored {
                Scored::Class => row.name.clone(),
                Scored::Region => format!("region {}", row.name),
                Scored::Mean => "mean of classes".to_owned(),
            };
            vec![
                row.condition.clone(),
                name,
                row.difference.n.to_string(),
                interval(&row.value, 3),
                interval(&row.difference, 3),
                interval(&row.ratio, 3),
                p(row.p_value),
                p(row.p_holm),
            ]
        };
        let against = format!("minus {}", record.reference.name);
        let ratio = format!("/ {}", record.reference.name);
        let heading = ["condition", "", "n", record.metric.as_str(), &against, &ratio, "p", "p (Holm)"];
        console::result(&console::table(&heading, &record.rows.iter().map(row).collect::<Vec<_>>()));
        record.warnings.iter().for_each(|warning| console::note(&format!("warning: {warning}")));
        console::result(&format!(
            "{}: n subjects with a value in both, {:.0} % bootstrap intervals over subjects and seeds",
            self.out.display(),
            100.0 * record.settings.level
        ));
        Ok(())
    }
}

impl Seed {
    /// Reads the folds of one seed: other subjects each, by the same rules.
    fn read(paths: &[PathBuf]) -> Result<Self, Failure> {
        let mut folds: Vec<EvaluationRecord> = Vec::new();
        let mut subjects: Vec<SubjectResult> = Vec::new();
        for path in paths {
            let fold: EvaluationRecord = files::read_record(path, SCHEMA)?;
            plausible(path, &fold)?;
            if let Some(first) = folds.first() {
                same_rules(path, &fold, &paths[0], first)?;
            }
            let twice =
                |subject: &&SubjectResult| subjects.iter().any(|known| known.subject == subject.subject);
            if let Some(subject) = fold.subjects.iter().find(twice) {
                let words = format!(
                    "{}: subject {} was tested in a fold before\nhint: folds have no subject in common",
                    path.display(),
                    subject.subject
                );
                return Err(Failure::in_words(Code::Input, &words));
            }
            subjects.extend(fold.subjects.iter().cloned());
            folds.push(fold);
        }
        Ok(Self { folds, subjects })
    }

    fn models(&self) -> impl Iterator<Item = &InputRecord> {
        self.folds.iter().flat_map(|fold| &fold.models)
    }
}

/// Whether two paths lead to one file that is there.
fn same_file(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// Refuses an evaluation of nobody, and values that no metric has.
fn plausible(path: &Path, record: &EvaluationRecord) -> Result<(), Failure> {
    let refused = |expected: &str, found: &str| {
        let words = format!(
            "{}: expected {expected}, found {found}\nhint: `synthmr evaluate` writes it",
            path.display()
        );
        Err(Failure::in_words(Code::Input, &words))
    };
    if record.subjects.is_empty() {
        return refused("an evaluation of at least one subject", "none");
    }
    for subject in &record.subjects {
        for (name, values) in subject.classes.iter().chain(&subject.regions) {
            let shares = [values.dice, values.precision, values.recall, values.lesion_dice];
            let distances = [values.hd, values.hd95, values.assd];
            let wrong = |most: f64| move |value: &f64| !(0.0..=most).contains(value);
            let wrong_share = shares.into_iter().flatten().find(wrong(1.0));
            if let Some(value) = wrong_share.or(distances.into_iter().flatten().find(wrong(f64::MAX))) {
                let expected = "values that a metric can have";
                return refused(expected, &format!("{value} for {name} of subject {}", subject.subject));
            }
        }
    }
    Ok(())
}

/// Refuses evaluations of different subjects, or by different rules.
fn same_test(
    path: &Path,
    record: &EvaluationRecord,
    first_path: &Path,
    first: &EvaluationRecord,
) -> Result<(), Failure> {
    let data = first.data.digest == record.data.digest && first.data.split == record.data.split;
    refuse(path, first_path, "store or part", !data)?;
    refuse(path, first_path, "split of the subjects", first.split_digest != record.split_digest)?;
    same_rules(path, record, first_path, first)
}

/// Refuses evaluations by different rules.
fn same_rules(
    path: &Path,
    record: &EvaluationRecord,
    first_path: &Path,
    first: &EvaluationRecord,
) -> Result<(), Failure> {
    let (mine, theirs) = (&record.settings, &first.settings);
    let rules = mine.empty_rule == theirs.empty_rule && mine.hd95_rule == theirs.hd95_rule;
    refuse(path, first_path, "rules of the metrics", !rules)?;
    refuse(path, first_path, "setting --mirror", mine.mirrored != theirs.mirrored)
}

fn refuse(path: &Path, first_path: &Path, what: &str, differs: bool) -> Result<(), Failure> {
    if !differs {
        return Ok(());
    }
    let words = format!(
        "{}: its {what} is not that of {}\nhint: conditions are compared on the same held-out subjects",
        path.display(),
        first_path.display()
    );
    Err(Failure::in_words(Code::Input, &words))
}

impl Group {
    fn condition(&self) -> Condition<'_> {
        let seeds = self.seeds.iter().map(|seed| seed.subjects.as_slice()).collect();
        Condition { name: &self.name, seeds }
    }

    fn record(&self) -> ConditionRecord {
        let models = self.seeds.iter().map(|seed| seed.models().cloned().collect()).collect();
        ConditionRecord { name: self.name.clone(), models }
    }
}

/// What limits the numbers.
fn warnings(reference: &Group, others: &[Group], rows: &[ComparisonRow]) -> Vec<String> {
    let mut warnings = Vec::new();
    let fewest = rows.iter().map(|row| row.difference.n).min().unwrap_or(0);
    if fewest < FEW_SUBJECTS {
        let least = 2.0 * 0.5f64.powi(fewest as i32);
        warnings.push(format!(
            "some rows have {fewest} subjects: percentile intervals are too narrow below {FEW_SUBJECTS}, and no test can \
             give a p below {least:.1e} there"
        ));
    }
    let few: Vec<String> = std::iter::once(reference)
        .chain(others)
        .filter(|group| group.seeds.len() < FEW_SEEDS)
        .map(|group| format!("{} ({})", group.name, group.seeds.len()))
        .collect();
    if !few.is_empty() {
        warnings.push(format!(
            "few seeds of {}: how much trainings differ is not (one seed) or barely (below {FEW_SEEDS}) in the intervals, and \
             p values are of these trainings only",
            few.join(", ")
        ));
    }
    warnings
}

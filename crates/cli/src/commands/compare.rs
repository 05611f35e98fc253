//! `synthmr compare`: conditions beside a reference on the same held-out subjects.

use std::collections::BTreeSet;
use std::path::PathBuf;

use synthmr_core::files;
use synthmr_core::records::{
    ComparisonRecord, ComparisonRow, ConditionRecord, EvaluationRecord, EvaluationSettings, SCHEMA, Scored,
    Tool,
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
/// Evaluations of one name are seeds of one condition. Differences and ratios come with bootstrap intervals over subjects
/// and seeds, and with Wilcoxon signed-rank tests over subjects, corrected by Holm's method over classes and means.
#[derive(Debug, clap::Args)]
pub(crate) struct Compare {
    /// Evaluations with the names of their conditions, such as real=eval-0.json real=eval-1.json synthetic=eval-2.json.
    #[arg(value_name = "NAME=FILE", value_parser = named_file, required = true, num_args = 2..)]
    evaluations: Vec<(String, PathBuf)>,
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

/// The evaluations of one condition.
struct Group {
    name: String,
    seeds: Vec<EvaluationRecord>,
}

impl Compare {
    /// Reads, compares, writes and prints.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        if let Some((_, path)) = self.evaluations.iter().find(|(_, path)| *path == self.out) {
            let words = format!("--out {}: this file is one of the evaluations", path.display());
            return Err(Failure::in_words(Code::Usage, &words));
        }
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
        let first = &reference.seeds[0];
        let record = ComparisonRecord {
            schema: SCHEMA,
            tool: Tool::this(),
            metric: self.metric.clone(),
            data: first.data.clone(),
            settings: EvaluationSettings {
                resamples: RESAMPLES,
                seed: self.seed,
                level: LEVEL,
                ..first.settings.clone()
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
        let mut first: Option<(&PathBuf, EvaluationRecord)> = None;
        for (name, path) in &self.evaluations {
            let record: EvaluationRecord = files::read_json(path)?;
            let (first_path, first) = first.get_or_insert_with(|| (path, record.clone()));
            let rules = |record: &EvaluationRecord| {
                (record.settings.empty_rule.clone(), record.settings.hd95_rule.clone())
            };
            let differing = [
                (
                    "store or part",
                    first.data.digest != record.data.digest || first.data.split != record.data.split,
                ),
                ("split of the subjects", first.split_digest != record.split_digest),
                ("rules of the metrics", rules(first) != rules(&record)),
                ("setting --mirror", first.settings.mirrored != record.settings.mirrored),
            ];
            if let Some((what, _)) = differing.into_iter().find(|(_, differs)| *differs) {
                let words = format!(
                    "{}: its {what} is not that of {}\nhint: conditions are compared on the same held-out subjects",
                    path.display(),
                    first_path.display()
                );
                return Err(Failure::in_words(Code::Input, &words));
            }
            match groups.iter_mut().find(|group| group.name == *name) {
                Some(group) => group.seeds.push(record),
                None => groups.push(Group { name: name.clone(), seeds: vec![record] }),
            }
        }
        let mut known = BTreeSet::new();
        for (group, seed) in groups.iter().flat_map(|group| group.seeds.iter().map(move |seed| (group, seed)))
        {
            for model in &seed.models {
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

impl Group {
    fn condition(&self) -> Condition<'_> {
        let seeds = self.seeds.iter().map(|seed| seed.subjects.as_slice()).collect();
        Condition { name: &self.name, seeds }
    }

    fn record(&self) -> ConditionRecord {
        let models = self.seeds.iter().map(|seed| seed.models.clone()).collect();
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

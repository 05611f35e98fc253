//! `synthmr membership`: whether a generator tells the subjects that it was trained on.

use std::collections::BTreeMap;
use std::path::PathBuf;

use synthmr_core::records::{AttackRecord, Detection, InputRecord, MembershipRecord, SCHEMA, Tool};
use synthmr_core::{Split, files};
use synthmr_data::store::SliceStore;
use synthmr_metrics::membership::{MEMBERSHIP_LEVEL, attack};
use synthmr_train::membership::{MembershipOptions, MembershipTarget};

use super::evaluate::interval;
use crate::arguments::Common;
use crate::console;
use crate::engine::EngineOptions;
use crate::failure::{Code, Failure};
use crate::watch::Terminal;

/// Fewest subjects of a group that can be compared.
const LEAST_SUBJECTS: usize = 2;
/// Fewer subjects than this in a group say little.
const FEW_SUBJECTS: usize = 15;

/// Measure whether a generator tells who it was trained on.
///
/// Scores of real images by the model's weights (a diffusion model's denoising loss, a GAN's discriminator and nearest
/// latents), compared between the subjects that it was trained on and others. Who holds the weights can do this; who holds
/// drawn images only cannot. A result near chance excludes these attacks, no others.
#[derive(Debug, clap::Args)]
pub(crate) struct Membership {
    /// Run of a generator.
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// Store of the cohort that it was trained on.
    #[arg(long, value_name = "STORE")]
    real: PathBuf,
    /// Part or parts of subjects that it was not trained on, with commas between them: control, or control,test.
    #[arg(long, value_name = "PART,PART", default_value = "control", value_delimiter = ',')]
    non_members: Vec<Split>,
    /// Most slices of a subject that are scored, evenly spaced [default: all].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    slices: Option<u32>,
    /// Steps of the search for a GAN's nearest latent.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    latent_steps: u64,
    /// JSON file that is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Seed of noise and latents.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    engine: EngineOptions,
}

/// The slices that are scored, subject by subject.
struct Group {
    /// As on the command line.
    parts: String,
    /// Indices into the store.
    subjects: Vec<Vec<u32>>,
}

impl Membership {
    /// Scores, compares, writes and prints.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        let engine = self.engine.set_up(common)?;
        let options = MembershipOptions { seed: self.seed, latent_steps: self.latent_steps };
        let target = MembershipTarget::load(&self.run, options, engine.device)?;
        target.notes().iter().for_each(|note| console::note(&format!("note: {note}")));
        let store = SliceStore::open(&self.real)?;
        store.verify()?;
        let part = self.trained_part(&target, &store)?;
        let members = self.group(&store, &[part])?;
        let non_members = self.group(&store, &self.non_members)?;

        let mut watch = Terminal::new("slices")?;
        let indices: Vec<u32> = [&members, &non_members].into_iter().flat_map(Group::indices).collect();
        let scores = target.score(&store, &indices, &mut watch)?;
        watch.finish();
        let Some(scores) = scores else {
            let words = "interrupted; nothing was written\nhint: run the same command again";
            return Err(Failure::in_words(Code::Interrupted, words));
        };
        let mut attacks = Vec::new();
        for (kind, scores) in target.attacks().iter().zip(&scores) {
            let mut scores = scores.iter().copied();
            let [members, non_members] = [&members, &non_members].map(|group| group.of(&mut scores));
            attacks.push(attack(&kind.name, &kind.score, &members, &non_members)?);
        }
        let record = MembershipRecord {
            schema: SCHEMA,
            tool: Tool::this(),
            model: target.record(&files::name_of(&self.run)),
            members: self.input(&store, &members),
            non_members: self.input(&store, &non_members),
            member_subjects: members.subjects.len(),
            non_member_subjects: non_members.subjects.len(),
            slices_a_subject: self.slices.map(|n| n as usize),
            seed: self.seed,
            level: MEMBERSHIP_LEVEL,
            warnings: warnings(&members, &non_members, &attacks),
            attacks,
        };
        files::write_json(&self.out, &record)?;
        if common.json { console::json(&record) } else { self.print(&record) }
    }

    /// The part that the model was trained on; refuses other stores and parts that are both.
    fn trained_part(&self, target: &MembershipTarget, store: &SliceStore) -> Result<Split, Failure> {
        let run = self.run.display();
        let Some(input) = target.trained_on().iter().find(|input| input.digest == *store.digest()) else {
            let names: Vec<&str> = target.trained_on().iter().map(|input| input.name.as_str()).collect();
            let words = format!(
                "{}: expected the store that {run} was trained on ({}), found another one\n\
                 hint: stores are told apart by their content; members are those of this very import",
                self.real.display(),
                names.join(", ")
            );
            return Err(Failure::in_words(Code::Input, &words));
        };
        let part: Split = input.split.parse().map_err(|e| Failure::new(Code::Input, &e))?;
        if self.non_members.contains(&part) {
            let words = format!(
                "--non-members {part}: {run} was trained on this part\nhint: for example --non-members control"
            );
            return Err(Failure::in_words(Code::Usage, &words));
        }
        Ok(part)
    }

    /// The slices of the parts' subjects.
    fn group(&self, store: &SliceStore, parts: &[Split]) -> Result<Group, Failure> {
        let mut subjects: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for &part in parts {
            for index in store.select(Some(part))? {
                if let Some(subject) = store.subject(index as usize) {
                    subjects.entry(subject).or_default().push(index);
                }
            }
        }
        let names: Vec<&str> = parts.iter().map(|part| part.name()).collect();
        let group = Group {
            parts: names.join(","),
            subjects: subjects.into_values().map(|mut slices| self.thinned(store, &mut slices)).collect(),
        };
        if group.subjects.len() >= LEAST_SUBJECTS {
            return Ok(group);
        }
        let words = format!(
            "{}:{}: expected {LEAST_SUBJECTS} or more subjects, found {}\n\
             hint: subjects are compared, not slices; --non-members control,test takes more parts",
            self.real.display(),
            group.parts,
            group.subjects.len()
        );
        Err(Failure::in_words(Code::Input, &words))
    }

    /// As many of a subject's slices as are asked for, evenly spaced through its volume; each once.
    fn thinned(&self, store: &SliceStore, slices: &mut Vec<u32>) -> Vec<u32> {
        slices.sort_unstable_by_key(|&index| store.slice(index as usize));
        slices.dedup();
        let kept = self.slices.map_or(slices.len(), |n| slices.len().min(n as usize));
        (0..kept).map(|i| slices[(2 * i + 1) * slices.len() / (2 * kept)]).collect()
    }

    fn input(&self, store: &SliceStore, group: &Group) -> InputRecord {
        InputRecord {
            name: files::name_of(&self.real),
            digest: store.digest().clone(),
            split: group.parts.clone(),
            weight: None,
            images: group.indices().count(),
        }
    }

    fn print(&self, record: &MembershipRecord) -> Result<(), Failure> {
        let mut heading = vec!["attack".to_owned(), "AUC".to_owned()];
        let rates = record.attacks.iter().flat_map(|attack| &attack.detections).take(2);
        heading.extend(rates.map(|found| format!("found at {} % false alarms", 100.0 * found.false_alarms)));
        let row = |attack: &AttackRecord| {
            let mut row = vec![attack.name.clone(), interval(&attack.auc, 3)];
            row.extend(attack.detections.iter().map(detected));
            row
        };
        let rows: Vec<Vec<String>> = record.attacks.iter().map(row).collect();
        let heading: Vec<&str> = heading.iter().map(String::as_str).collect();
        console::result(&console::table(&heading, &rows));
        record.warnings.iter().for_each(|warning| console::note(&format!("warning: {warning}")));
        console::result(&format!(
            "{}: {} subjects that {} was trained on beside {} others ({}); 0.5 is chance",
            self.out.display(),
            record.member_subjects,
            record.model.name,
            record.non_member_subjects,
            record.non_members.split
        ));
        Ok(())
    }
}

impl Group {
    fn indices(&self) -> impl Iterator<Item = u32> {
        self.subjects.iter().flatten().copied()
    }

    /// The next scores, as many as the group has slices, by subject.
    fn of(&self, scores: &mut impl Iterator<Item = f64>) -> Vec<Vec<f64>> {
        self.subjects.iter().map(|slices| scores.by_ref().take(slices.len()).collect()).collect()
    }
}

/// `12 of 14 [0.572, 0.982]`, or why not.
fn detected(found: &Detection) -> String {
    match &found.found {
        Some(share) => format!("{} of {} [{:.3}, {:.3}]", share.k, share.n, share.low, share.high),
        None => format!("not resolvable, needs {} others", found.needed),
    }
}

/// What limits the numbers.
fn warnings(members: &Group, non_members: &Group, attacks: &[AttackRecord]) -> Vec<String> {
    let mut warnings = Vec::new();
    let fewest = members.subjects.len().min(non_members.subjects.len());
    if fewest < FEW_SUBJECTS {
        warnings
            .push(format!("{fewest} subjects in a group: the intervals are wide, and that is what is known"));
    }
    let unresolved = attacks.first().into_iter().flat_map(|attack| &attack.detections);
    for found in unresolved.filter(|found| found.found.is_none()) {
        warnings.push(format!(
            "what is found at {} % false alarms is not resolvable: it takes {} subjects that were not trained on, there \
             are {}",
            100.0 * found.false_alarms,
            found.needed,
            found.negatives
        ));
    }
    warnings
}

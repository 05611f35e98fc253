//! `synthmr audit`: does a synthetic set copy its patients?

use std::path::{Path, PathBuf};

use synthmr_audit::embedding::EmbeddingConfig;
use synthmr_audit::gates::Gates;
use synthmr_audit::{AuditOptions, audit, filter, sampled};
use synthmr_core::files::{self, Access};
use synthmr_core::records::{AuditRecord, InputRecord, Tier};
use synthmr_data::store::{SliceStore, StoreSelection};
use synthmr_report::AuditPages;
use synthmr_train::Watch as _;

use super::evaluate::interval;
use crate::arguments::Common;
use crate::console;
use crate::engine::EngineOptions;
use crate::failure::{Code, Failure};
use crate::watch::Terminal;

/// Pairs of images that each copy embedding learns from.
const EMBEDDING_PAIRS: u64 = 20_000;
/// The record inside the audit's folder.
const RECORD: &str = "audit.json";
/// Folder of the pictures inside the audit's.
const PAIRS: &str = "pairs";

/// Search a synthetic set for copies of the cohort's images, and say what such a search would find.
///
/// Needs a cohort with the parts train and control, and better val too. Writes audit.json and public.html, which hold
/// aggregates only, and images.json, private.html and pairs/, which are for the owner. Exit code 1 when a gate is not met.
#[derive(Debug, clap::Args)]
pub(crate) struct Audit {
    /// Store of the cohort that the generator learnt from, with all its parts.
    #[arg(long, value_name = "STORE")]
    real: PathBuf,
    /// Store of the synthetic set.
    #[arg(long, value_name = "STORE[:part]")]
    synthetic: StoreSelection,
    /// Folder that is written; an interrupted audit goes on in it.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Also write the set without its flagged images.
    #[arg(long, value_name = "STORE")]
    filter: Option<PathBuf>,
    /// What the audit must reach, as TOML [default: the gates in docs/audit.md].
    #[arg(long, value_name = "FILE")]
    gates: Option<PathBuf>,
    /// What `synthmr membership` found of a generator of the set, to be shown beside; may be repeated.
    #[arg(long = "membership", value_name = "FILE")]
    memberships: Vec<PathBuf>,
    /// Learn a copy embedding from the training part and search with it too; takes minutes more.
    #[arg(long)]
    embedding: bool,
    /// Copies that are planted for each way of changing them.
    #[arg(long, value_name = "N", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    planted: u16,
    /// Memory that may be used, in GiB.
    #[arg(long, value_name = "GIB", default_value_t = 4.0, value_parser = gib)]
    memory_gib: f64,
    /// Seed of planted copies and intervals.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
}

fn gib(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(gib) if (0.5..=4096.0).contains(&gib) => Ok(gib),
        _ => Err("expected a number from 0.5 to 4096".to_owned()),
    }
}

/// The program's side of [`synthmr_audit::Watch`].
struct Watch(Terminal);

impl synthmr_audit::Watch for Watch {
    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }

    fn progress(&mut self, done: u64, total: u64) {
        self.0.progress(done, total);
    }

    fn resumed(&mut self, done: u64) {
        self.0.count_from(done);
    }
}

impl Audit {
    /// Searches, judges, writes and prints.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        let gates = Gates::load(self.gates.as_deref())?;
        let membership =
            self.memberships.iter().map(|path| files::read_json(path)).collect::<Result<_, _>>()?;
        if let Some(out) = &self.filter
            && std::fs::symlink_metadata(out).is_ok()
        {
            return Err(files::FileError::Exists { path: out.clone() }.into());
        }
        EngineOptions::on_cpu().set_up(common)?;
        let real = SliceStore::open(&self.real)?;
        let (synthetic, indices) = self.synthetic.open()?;
        if self.filter.is_some() {
            sampled(&synthetic)?;
        }
        real.verify()?;
        synthetic.verify()?;
        let input = |path: &Path, store: &SliceStore, split: String, images| InputRecord {
            name: files::name_of(path),
            digest: store.digest().clone(),
            split,
            weight: None,
            images,
        };
        let part = self.synthetic.split.map_or_else(String::new, |split| split.to_string());
        let options = AuditOptions {
            real: &real,
            synthetic: &synthetic,
            indices: &indices,
            inputs: [
                input(&self.real, &real, String::new(), real.len()),
                input(&self.synthetic.path, &synthetic, part, indices.len()),
            ],
            gates,
            membership,
            embedding: self.embedding.then(|| EmbeddingConfig {
                seed: self.seed,
                images: EMBEDDING_PAIRS,
                ..EmbeddingConfig::default()
            }),
            planted: usize::from(self.planted),
            seed: self.seed,
            memory_bytes: (self.memory_gib * f64::from(1 << 30)) as u64,
            folder: &self.out,
        };
        if self.embedding {
            console::note("two copy embeddings are learnt first, which takes minutes and shows no progress");
        }
        let mut watch = Watch(Terminal::new("images")?);
        let result = audit(&options, &mut watch)?;
        watch.0.finish();

        // The record first away and last written: where it is, its pages and pictures are.
        let record = self.out.join(RECORD);
        gone(&record, std::fs::remove_file(&record))?;
        let pairs = self.out.join(PAIRS);
        gone(&pairs, std::fs::remove_dir_all(&pairs))?;
        files::create_folder(&pairs)?;
        let private = |name: &str, bytes: &[u8]| {
            files::write_with(&self.out.join(name), Access::Private, |file| file.write_all(bytes))
        };
        for sheet in &result.pairs {
            let name = Path::new(PAIRS).join(&sheet.record.png);
            private(&name.display().to_string(), &sheet.png)?;
            // Its title names the image with its score.
            private(&name.with_extension("json").display().to_string(), &json_bytes(&sheet.record)?)?;
        }
        private("images.json", &json_bytes(&result.images)?)?;
        let sheets = result.pairs.iter().map(|sheet| (sheet.record.clone(), sheet.png.clone())).collect();
        let pages = AuditPages { record: &result.record, images: &result.images, pairs: sheets };
        private("private.html", pages.private()?.as_bytes())?;
        files::write(&self.out.join("public.html"), pages.public()?.as_bytes())?;
        files::write_json(&record, &result.record)?;
        if let Some(out) = &self.filter {
            let words = match filter(&synthetic, &indices, &result.images, out)? {
                0 => "not written: every image was flagged".to_owned(),
                kept => format!("{kept} of {} images", indices.len()),
            };
            console::note(&format!("{}: {words}", out.display()));
        }
        result.work.finish();
        if common.json {
            console::json(&result.record)?
        } else {
            self.print(&result.record)
        }
        if result.record.passed {
            return Ok(());
        }
        let unmet = result.record.gates.iter().filter(|gate| !gate.met).map(|gate| gate.name.as_str());
        let words = format!(
            "{}: not passed: {}\nhint: docs/audit.md says how to read an audit and what to do",
            self.out.display(),
            unmet.collect::<Vec<_>>().join("; ")
        );
        Err(Failure::in_words(Code::Finding, &words))
    }

    fn print(&self, record: &AuditRecord) {
        let tier = |tier| match tier {
            Tier::Slight => "slight",
            Tier::Strong => "strong",
            Tier::Partial => "partial",
        };
        let rows: Vec<Vec<String>> = record
            .sensitivity
            .iter()
            .map(|cell| {
                let found = format!("{} of {}", cell.found, cell.n);
                vec![cell.name.clone(), tier(cell.tier).to_owned(), found, interval(&cell.recall, 2)]
            })
            .collect();
        console::result(&console::table(&["planted copies", "change", "found", "recall"], &rows));
        let rows: Vec<Vec<String>> = record
            .gates
            .iter()
            .map(|gate| {
                let found = gate.found.map_or_else(|| "-".to_owned(), |found| format!("{found:.3}"));
                let met = if gate.met { "met" } else { "NOT MET" };
                vec![gate.name.clone(), gate.limit.to_string(), found, met.to_owned()]
            })
            .collect();
        console::result(&console::table(&["gate", "limit", "found", ""], &rows));
        record.warnings.iter().for_each(|warning| console::note(&format!("warning: {warning}")));
        console::result(&record.verdict);
        console::result(&format!(
            "{}: public.html may be shown, private.html shows patients and stays inside",
            self.out.display()
        ));
    }
}

fn json_bytes<T: serde::Serialize>(record: &T) -> Result<Vec<u8>, Failure> {
    let mut bytes = serde_json::to_vec_pretty(record).map_err(|e| Failure::new(Code::Bug, &e))?;
    bytes.push(b'\n');
    Ok(bytes)
}

/// What an earlier audit may have left in the same folder.
fn gone(path: &Path, removed: std::io::Result<()>) -> Result<(), Failure> {
    match removed {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(files::at("remove", path)(e).into()),
        _ => Ok(()),
    }
}

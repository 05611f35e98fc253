//! `synthmr train`: generators and segmenters.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use synthmr_core::{Split, files};
use synthmr_data::store::{SliceStore, StoreSelection};
use synthmr_train::config::{Preset, resolve};
use synthmr_train::generator::{self, GeneratorConfig, GeneratorJob};
use synthmr_train::run::RUN_FILE;
use synthmr_train::segmentation::{self, SegmenterConfig, SegmenterJob, Source};
use synthmr_train::{Outcome, TrainError, Watch};

use crate::arguments::Common;
use crate::console;
use crate::engine::{EngineOptions, PrecisionOptions, ReplicaOptions};
use crate::estimate::Estimate;
use crate::failure::{Code, Failure};
use crate::watch::Terminal;

/// Train a network; run again, an interrupted training continues.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Train {
    /// Train a generator of images with their annotation.
    Generator(Generator),
    /// Train a segmentation network.
    Segmenter(Segmenter),
}

/// Train a generator of images with their annotation.
#[derive(Debug, clap::Args)]
pub(crate) struct Generator {
    /// Store to learn from, its part `train` unless another is named.
    #[arg(long, value_name = "STORE[:part]")]
    data: StoreSelection,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    replicas: ReplicaOptions,
}

/// Train a segmentation network.
#[derive(Debug, clap::Args)]
pub(crate) struct Segmenter {
    /// Store to learn from, with its share of every batch; several may be given. Their parts `val` choose
    /// the network that is kept.
    #[arg(long = "train", value_name = "STORE[*weight]", required = true)]
    sources: Vec<Source>,
    #[command(flatten)]
    settings: Settings,
}

/// What both trainings are told.
#[derive(Debug, clap::Args)]
struct Settings {
    /// Run folder that is made, or continued.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Configuration to begin with.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// TOML file with values that replace the preset's, or with all of them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A value that replaces the preset's and the file's; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// Length of the training in thousands of images; short for --set kimg=K.
    #[arg(long, value_name = "K")]
    kimg: Option<f64>,
    /// Print the configuration and what it costs, and stop.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    precision: PrecisionOptions,
}

impl Train {
    /// Trains until done, or until a signal.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        match self {
            Self::Generator(generator) => generator.run(common),
            Self::Segmenter(segmenter) => segmenter.run(common),
        }
    }
}

impl Generator {
    fn run(&self, common: Common) -> Result<(), Failure> {
        let config: GeneratorConfig = self.settings.resolve(generator::PRESETS)?;
        config.validate()?;
        let (store, _) = self.data.open()?;
        let engine = self.settings.engine.set_up_with(&self.replicas, common)?;
        store.verify()?;
        let (precision, record) = engine.with(&self.settings.precision);
        let job = GeneratorJob {
            config: &config,
            store: &store,
            store_name: &files::name_of(&self.data.path),
            split: self.data.split,
            devices: &engine.devices,
            precision,
            engine: record,
        };
        // A network that grows begins with small images; the estimate is that of a training on large ones throughout.
        let grown = config.without_growth();
        let probe = GeneratorJob { config: &grown, engine: job.engine.clone(), ..job };
        self.settings.train(
            &config,
            |folder, watch| generator::train(&probe, folder, watch),
            |folder, watch| generator::train(&job, folder, watch),
        )
    }
}

impl Segmenter {
    fn run(&self, common: Common) -> Result<(), Failure> {
        let config: SegmenterConfig = self.settings.resolve(segmentation::PRESETS)?;
        config.validate()?;
        self.check_parts()?;
        let engine = self.settings.engine.set_up(common)?;
        self.verify_stores()?;
        let (precision, record) = engine.with(&self.settings.precision);
        let job = SegmenterJob {
            config: &config,
            sources: &self.sources,
            device: engine.device,
            precision,
            engine: record,
        };
        let train = |folder: &Path, watch: &mut dyn Watch| segmentation::train(&job, folder, watch);
        self.settings.train(&config, train, train)
    }

    /// Refuses every part but `train`, which is what a source means without a part.
    fn check_parts(&self) -> Result<(), Failure> {
        for selection in self.sources.iter().map(|source| &source.selection) {
            if let Some(part) = selection.split.filter(|&part| part != Split::Train) {
                let words = format!(
                    "--train {selection}: expected the part train, found {part}; this is refused on purpose: a \
                     segmenter learns from train alone, val chooses the network that is kept, test and control \
                     stay unseen\nhint: --train {} learns from train and uses val by itself",
                    selection.path.display()
                );
                return Err(Failure::in_words(Code::Usage, &words));
            }
        }
        Ok(())
    }

    /// Reads every store once and compares it with its digests; the training opens them itself.
    fn verify_stores(&self) -> Result<(), Failure> {
        let paths: BTreeSet<&Path> = self.sources.iter().map(|s| s.selection.path.as_path()).collect();
        for path in paths {
            SliceStore::open(path)?.verify()?;
        }
        Ok(())
    }
}

impl Settings {
    fn resolve<C: Serialize + DeserializeOwned>(&self, presets: &[Preset]) -> Result<C, Failure> {
        let text = self.config.as_ref().map(|path| files::read_text(path)).transpose()?;
        let file = self.config.as_deref().zip(text.as_deref());
        let mut sets = self.set.clone();
        sets.extend(self.kimg.map(|kimg| format!("kimg={kimg}")));
        Ok(resolve(presets, self.preset.as_deref(), file, &sets)?)
    }

    /// Resolve, print, save, then run: the configuration was resolved, `train` saves it. The first steps of `probe`
    /// are what the estimate is made from.
    fn train(
        &self,
        config: &impl Serialize,
        probe: impl FnOnce(&Path, &mut dyn Watch) -> Result<Outcome, TrainError>,
        train: impl Fn(&Path, &mut dyn Watch) -> Result<Outcome, TrainError>,
    ) -> Result<(), Failure> {
        let text = toml::to_string(config).map_err(|e| Failure::new(Code::Bug, &e))?;
        let show = if self.dry_run { console::result } else { console::note };
        show(text.trim_end());
        let mut watch = Terminal::new("images")?;
        let begins = !self.out.join(RUN_FILE).exists();
        if begins || self.dry_run {
            let estimate = Estimate::measure(&self.out, &watch, probe)?;
            show(&format!("\n{}", commented(&estimate.lines(&self.out))));
        }
        if self.dry_run {
            return Ok(());
        }
        let outcome = train(&self.out, &mut watch)?;
        watch.finish();
        match outcome {
            Outcome::Finished => console::result(&format!("{}: trained", self.out.display())),
            Outcome::Stopped => {
                let words = format!(
                    "{}: ended early by a rule of its inspections\nhint: `synthmr sample --best` draws from its best \
                     snapshot where it has one; a new run with other settings needs another folder",
                    self.out.display()
                );
                return Err(Failure::in_words(Code::Finding, &words));
            }
            Outcome::Interrupted => {
                let words = format!(
                    "{}: interrupted; everything is saved\nhint: run the same command again to continue",
                    self.out.display()
                );
                return Err(Failure::in_words(Code::Interrupted, &words));
            }
        }
        Ok(())
    }
}

/// As TOML comments, so that what `--dry-run` prints can be kept as a configuration file.
fn commented(text: &str) -> String {
    text.lines().map(|line| format!("# {line}")).collect::<Vec<_>>().join("\n")
}

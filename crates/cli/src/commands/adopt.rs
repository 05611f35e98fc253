//! `synthmr adopt`: a run of weights that were trained elsewhere.

use std::path::PathBuf;

use synthmr_core::files;
use synthmr_data::store::{SliceStore, StoreLayout};
use synthmr_train::adopt::{Adoption, adopt};
use synthmr_train::config::resolve;
use synthmr_train::generator::{self, GeneratorConfig};

use crate::arguments::Common;
use crate::console;
use crate::engine::{EngineOptions, PrecisionOptions};
use crate::failure::Failure;
use crate::watch::Terminal;

/// Make a run of a generator whose weights were trained elsewhere, to draw from.
///
/// The weights are a safetensors file as `tools/weights/convert.py` makes them. What they were trained on is not known
/// here, and neither is what they remember of it.
#[derive(Debug, clap::Args)]
pub(crate) struct Adopt {
    /// The generator's weights.
    #[arg(value_name = "FILE")]
    weights: PathBuf,
    /// Store whose channels, classes and size are those of the images.
    #[arg(long, value_name = "STORE")]
    like: PathBuf,
    /// Run folder that is made.
    #[arg(long, value_name = "RUN")]
    out: PathBuf,
    /// Configuration of the network to begin with.
    #[arg(long, value_name = "NAME")]
    preset: Option<String>,
    /// TOML file with values that replace the preset's, or with all of them.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// A value that replaces the preset's and the file's; may be repeated.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    #[command(flatten)]
    engine: EngineOptions,
    #[command(flatten)]
    precision: PrecisionOptions,
}

impl Adopt {
    /// Checks the weights and makes the run.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        let text = self.config.as_ref().map(|path| files::read_text(path)).transpose()?;
        let file = self.config.as_deref().zip(text.as_deref());
        let config: GeneratorConfig = resolve(generator::PRESETS, self.preset.as_deref(), file, &self.set)?;
        let store = SliceStore::open(&self.like)?;
        let manifest = store.manifest();
        let engine = self.engine.set_up(common)?;
        let (_, record) = engine.with(&self.precision);
        let name = files::name_of(&self.weights);
        let adoption = Adoption {
            config: &config,
            layout: StoreLayout {
                channels: manifest.channels.clone(),
                height: manifest.height,
                width: manifest.width,
                labels: manifest.labels.clone(),
            },
            weights: &self.weights,
            name: &name,
            engine: record,
        };
        adopt(&adoption, &self.out, &mut Terminal::new("images")?)?;
        console::result(&format!("{}: weights of {name}", self.out.display()));
        Ok(())
    }
}

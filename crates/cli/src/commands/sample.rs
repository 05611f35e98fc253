//! `synthmr sample`: a synthetic set from a generator.

use std::path::PathBuf;

use synthmr_core::records::{LabelQuality, SamplingRecord};
use synthmr_train::Outcome;
use synthmr_train::diffusion::Method;
use synthmr_train::generator::DrawOptions;
use synthmr_train::sampling::{SampleOptions, Sampler, Snapshot};

use crate::arguments::Common;
use crate::console;
use crate::engine::EngineOptions;
use crate::failure::{Code, Failure};
use crate::watch::Terminal;

/// Largest number of an image, plus one: stores number images with 31 bits.
const MOST_IMAGES: u64 = i32::MAX as u64;

/// Draw synthetic images with their annotation from a generator.
///
/// Image i is the same however many are drawn: a large set can be made in parts, with --first.
#[derive(Debug, clap::Args)]
pub(crate) struct Sample {
    /// Run of a generator; several take turns, eight images each.
    #[arg(value_name = "RUN", required = true)]
    runs: Vec<PathBuf>,
    /// Number of images.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=100_000_000))]
    count: u64,
    /// Seed of what is random.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Store that is made.
    #[arg(long, value_name = "STORE")]
    out: PathBuf,
    /// Truncation of a GAN's latents: 1 draws from the whole distribution, as it does by default, 0 only its mean.
    #[arg(long, value_name = "PSI", value_parser = truncation)]
    truncation: Option<f64>,
    /// Steps of a diffusion model, instead of its configuration's.
    #[arg(long, value_name = "N")]
    steps: Option<u64>,
    /// Rule for a step of a diffusion model, instead of its configuration's: heun, ddim or ancestral.
    #[arg(long, value_name = "RULE")]
    method: Option<Method>,
    /// Draw with the weights that were best at an inspection (lowest energy distance), not with the last ones.
    #[arg(long)]
    best: bool,
    /// Number of the first image.
    #[arg(long, value_name = "I", default_value_t = 0)]
    first: u64,
    #[command(flatten)]
    engine: EngineOptions,
}

fn truncation(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(psi) if (0.0..=2.0).contains(&psi) => Ok(psi),
        _ => Err("expected a number from 0 to 2".to_owned()),
    }
}

impl Sample {
    /// Draws the images.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        self.check_range()?;
        let engine = self.engine.set_up(common)?;
        let snapshot = if self.best { Snapshot::Best } else { Snapshot::Last };
        let sampler = Sampler::load(&self.runs, snapshot, engine.device)?;
        sampler.notes().for_each(|note| console::note(&format!("note: {note}")));
        let options = SampleOptions {
            count: self.count,
            first: self.first,
            seed: self.seed,
            draw: DrawOptions { truncation: self.truncation, steps: self.steps, method: self.method },
        };
        let mut watch = Terminal::new("images")?;
        let (outcome, record) = sampler.sample(options, &self.out, &mut watch)?;
        watch.finish();
        if outcome == Outcome::Interrupted {
            let words = format!(
                "{}: interrupted; nothing was written\nhint: run the same command again",
                self.out.display()
            );
            return Err(Failure::in_words(Code::Interrupted, &words));
        }
        if common.json { console::json(&record) } else { self.print(&record) }
    }

    fn check_range(&self) -> Result<(), Failure> {
        if self.first.checked_add(self.count).is_some_and(|end| end <= MOST_IMAGES) {
            return Ok(());
        }
        let words = format!(
            "--first {} --count {}: expected them to add up to at most {MOST_IMAGES}\n\
             hint: another --seed gives other images",
            self.first, self.count
        );
        Err(Failure::in_words(Code::Usage, &words))
    }

    fn print(&self, record: &SamplingRecord) -> Result<(), Failure> {
        let quality = &record.label_quality;
        console::result(&format!("pixels: {}", shares(quality)));
        console::result(&format!(
            "annotation: {:.2} % of the pixels unclean, {:.1} % of the images without any class",
            100.0 * quality.unclean_share,
            100.0 * quality.empty_share
        ));
        for generator in &record.generators {
            if let Some(training) = &generator.training_labels {
                console::result(&format!(
                    "{} was trained on: {}; {:.1} % of the images without any class",
                    generator.name,
                    shares(training),
                    100.0 * training.empty_share
                ));
            }
        }
        console::result(&format!("{}: {} synthetic images", self.out.display(), self.count));
        Ok(())
    }
}

/// The share of every class in per cent.
fn shares(quality: &LabelQuality) -> String {
    let shares = quality.class_share.iter().map(|(name, share)| format!("{name} {:.2} %", 100.0 * share));
    shares.collect::<Vec<_>>().join(", ")
}

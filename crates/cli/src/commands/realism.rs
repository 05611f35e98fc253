//! `synthmr realism`: how close a synthetic set is to a real one.

use std::path::{Path, PathBuf};

use synthmr_core::files;
use synthmr_core::records::{Better, RealismRecord, RealismResult};
use synthmr_data::store::StoreSelection;
use synthmr_realism::{Cache, Observer, Options, Sets, measure};
use synthmr_train::Watch;

use crate::arguments::Common;
use crate::console;
use crate::engine::EngineOptions;
use crate::failure::Failure;
use crate::features::FeatureChoice;
use crate::watch::Terminal;

/// Measure how close a synthetic set is to a real one, per contrast and for the annotation.
///
/// Every number comes with an interval and its floor: the same number between two halves of the real images, by subject.
/// docs/realism.md explains them.
#[derive(Debug, clap::Args)]
pub(crate) struct Realism {
    /// Store of the cohort; a part alone with a colon: ph.store:train.
    #[arg(long, value_name = "STORE[:part]")]
    real: StoreSelection,
    /// Store of the synthetic set.
    #[arg(long, value_name = "STORE[:part]")]
    synthetic: StoreSelection,
    /// JSON file that is written.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// Network whose features are compared: efficientnet-lite0 (from `cargo xtask weights`), inception-v3:FILE (the FID's),
    /// segmenter:RUN, or random-conv (needs no weights, says least).
    #[arg(long, value_name = "NAME", default_value = "efficientnet-lite0")]
    features: FeatureChoice,
    /// Folder that keeps extracted features, for this command again and for other synthetic sets. It holds features of real
    /// images: treat it like them [default: features, beside the JSON file].
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Draws of halves behind every interval and floor.
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(10..=10_000))]
    draws: u32,
    /// Seed of the draws.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    engine: EngineOptions,
}

/// [`Terminal`] as a measurement sees it.
struct Shown(Terminal);

impl Observer for Shown {
    fn progress(&mut self, images_done: u64, images_total: u64) {
        self.0.progress(images_done, images_total);
    }

    fn note(&mut self, message: &str) {
        Watch::note(&mut self.0, message);
    }

    fn should_stop(&self) -> bool {
        self.0.should_stop()
    }
}

impl Realism {
    /// Measures, writes and prints.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        files::check_target(&self.out)?;
        let engine = self.engine.set_up(common)?;
        let sets = Sets::open(&self.real, &self.synthetic)?;
        let source = self.features.open(&sets, engine.device)?;
        let beside = self.out.parent().unwrap_or(Path::new("")).join("features");
        let cache = Cache::new(self.cache.as_deref().unwrap_or(&beside));
        let options = Options { draws: self.draws as usize, seed: self.seed };
        let mut shown = Shown(Terminal::new("images")?);
        let record = measure(&sets, &source, &cache, &options, &mut shown)?;
        shown.0.finish();
        files::write_json(&self.out, &record)?;
        if common.json { console::json(&record) } else { self.print(&record) }
    }

    fn print(&self, record: &RealismRecord) -> Result<(), Failure> {
        let heading = ["metric", "of", "channel", "value", "better", "matched", "floor", "held out"];
        let rows: Vec<Vec<String>> = record.results.iter().map(row).collect();
        console::result(&console::table(&heading, &rows));
        record.warnings.iter().for_each(|warning| console::note(&format!("warning: {warning}")));
        let part = |split: &str| if split.is_empty() { String::new() } else { format!(":{split}") };
        console::result(&format!(
            "{}: {} images of {} subjects ({}{}) and {} synthetic ones ({}{}), {} with {} features\n\
             value [{:.0} % interval]; matched and floor: at the size of half of the real images, {} draws; \
             held out: real images of other subjects{}",
            self.out.display(),
            record.real.images,
            record.real_subjects,
            record.real.name,
            part(&record.real.split),
            record.synthetic.images,
            record.synthetic.name,
            part(&record.synthetic.split),
            record.features.name,
            record.features.dims,
            100.0 * record.settings.level,
            record.settings.draws,
            record
                .held_out
                .as_ref()
                .map_or_else(|| " (none)".to_owned(), |set| format!(" ({}{})", set.name, part(&set.split)))
        ));
        Ok(())
    }
}

fn row(result: &RealismResult) -> Vec<String> {
    let number = |value: Option<f64>| value.map_or_else(|| "-".to_owned(), digits);
    let range = |value: Option<f64>, low: Option<f64>, high: Option<f64>| match (low, high) {
        (Some(low), Some(high)) => format!("{} [{}, {}]", number(value), digits(low), digits(high)),
        _ => number(value),
    };
    let better = match result.better {
        Better::Lower => "lower",
        Better::Higher => "higher",
        Better::Floor => "as floor",
    };
    vec![
        result.metric.clone(),
        result.features.clone(),
        result.channel.clone(),
        range(result.value, result.low, result.high),
        better.to_owned(),
        number(result.matched),
        range(result.floor, result.floor_low, result.floor_high),
        number(result.held_out),
    ]
}

/// Three significant digits.
fn digits(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e6).contains(&magnitude) {
        return format!("{value:.2e}");
    }
    let decimals = (2 - magnitude.log10().floor() as i32).clamp(0, 6) as usize;
    format!("{value:.decimals$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        let shown = [0.0, 0.12345, 12.345, 1234.5, -0.00123, 0.00001234].map(digits);
        assert_eq!(shown, ["0", "0.123", "12.3", "1234", "-0.00123", "1.23e-5"]);
    }
}

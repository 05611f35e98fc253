//! Drawing a synthetic set from a trained generator.
//!
//! Image `i` is a function of (checkpoint, seed, i) alone. Its latent and noise are keyed by `i`; and because
//! the last bits of a convolution may depend on how many images it sees at once, images are always computed
//! in blocks of [`BLOCK`] whose first index is a multiple of it, whichever of them were asked for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use synthmr_core::records::{InputRecord, LabelQuality, ModelKind, Origin, SamplingRecord};
use synthmr_core::{LabelEncoding, LabelScheme};
use synthmr_data::sheet::{self, SHEET_ROWS, SheetImage};
use synthmr_data::store::{StoreLayout, StoreWriter};
use synthmr_nets::engine::Precision;
use synthmr_nets::generators::stylegan2::Generator;
use tch::Device;

use crate::diffusion::Denoiser;
use crate::generator::{AVERAGE, DrawOptions, Family, GeneratorConfig, ImageSource, bytes};
use crate::planes::Planes;
use crate::run::TrainedRun;
use crate::{Outcome, TrainError, Watch};

/// Images computed at once.
pub const BLOCK: u64 = 8;

/// What to draw.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SampleOptions {
    /// Number of images.
    pub count: u64,
    /// Index of the first one: a large set can be drawn in parts.
    pub first: u64,
    /// Seed of latents and noise.
    pub seed: u64,
    /// What differs from the way in which the generator was trained to be used.
    pub draw: DrawOptions,
}

/// A generator ready to draw from.
pub struct Sampler {
    source: Box<dyn ImageSource>,
    planes: Planes,
    layout: StoreLayout,
    encoding: LabelEncoding,
    record: InputRecord,
    /// What a person should know about the run that was opened, such as a damaged checkpoint passed over.
    pub notes: Vec<String>,
}

impl Sampler {
    /// Opens the averaged generator of the run in `folder`, at its newest intact checkpoint.
    ///
    /// # Errors
    /// [`TrainError`] when the folder is not a generator's run, was never trained, or is damaged.
    pub fn load(folder: &Path, device: Device) -> Result<Self, TrainError> {
        let mut run = TrainedRun::open(folder)?;
        let mismatch = |what: &str, expected: &str, found: String| TrainError::Mismatch {
            what: format!("{}: {what}", folder.display()),
            expected: expected.to_owned(),
            found,
            hint: "sample from a folder that `synthmr train generator` made".into(),
        };
        if run.record.kind != ModelKind::Generator {
            return Err(mismatch(
                "kind of run",
                "generator",
                format!("{:?}", run.record.kind).to_lowercase(),
            ));
        }
        let config: GeneratorConfig = serde_json::from_value(run.record.config)
            .map_err(|e| mismatch("configuration", "a generator's", e.to_string()))?;
        config.validate()?;
        let precision: Precision = run
            .record
            .engine
            .precision
            .parse()
            .map_err(|found: String| mismatch("precision", "f32 or bf16", found))?;
        let planes = Planes::new(run.record.channels.len(), &run.record.labels, config.labels, device);
        let weights = run.checkpoint.take(AVERAGE);
        let (source, loaded): (Box<dyn ImageSource>, _) = match &config.family {
            Family::StyleGan2(gan) => {
                let network = gan.network(config.resolution, planes.count());
                let generator = Generator::new(&network, config.seed, device, precision);
                let loaded = generator.parameters.load(&weights);
                (Box::new(generator), loaded)
            }
            Family::Diffusion(diffusion) => {
                let denoiser = Denoiser::new(&config, diffusion, planes.count(), device, precision);
                let loaded = denoiser.network.parameters.load(&weights);
                (Box::new(denoiser), loaded)
            }
        };
        loaded.map_err(|source| TrainError::Weights { path: folder.to_owned(), source })?;
        let side = config.resolution as usize;
        let name = folder.file_name().map(PathBuf::from).unwrap_or_default().display().to_string();
        Ok(Self {
            source,
            planes,
            layout: StoreLayout {
                channels: run.record.channels,
                height: side,
                width: side,
                labels: run.record.labels,
            },
            encoding: config.labels,
            record: InputRecord { name, digest: run.digest, split: String::new(), weight: None, images: 0 },
            notes: run.notes,
        })
    }

    /// The form of the images.
    pub fn layout(&self) -> &StoreLayout {
        &self.layout
    }

    /// Draws images into a new store at `out`.
    ///
    /// # Errors
    /// [`TrainError`] when an option does not suit the generator or the store cannot be written; nothing stays then,
    /// nor when it is interrupted.
    pub fn sample(
        &self,
        options: SampleOptions,
        out: &Path,
        watch: &mut dyn Watch,
    ) -> Result<(Outcome, SamplingRecord), TrainError> {
        self.source.check(&options.draw)?;
        let mut writer = StoreWriter::create(out, self.layout.clone())?;
        let mut quality = QualityCounts::default();
        let mut shown = Vec::new();
        let pixels = self.layout.height * self.layout.width;
        let image_bytes = pixels * self.layout.channels.len();
        let end = options.first + options.count;
        let mut outcome = Outcome::Finished;
        for block in options.first / BLOCK..end.div_ceil(BLOCK) {
            let numbers = block * BLOCK..(block + 1) * BLOCK;
            let stop = || watch.should_stop();
            let drawn =
                if stop() { None } else { self.source.draw(options.seed, numbers, &options.draw, &stop) };
            let Some(planes) = drawn else {
                outcome = Outcome::Interrupted;
                break;
            };
            let decoded = self.planes.decode(&planes);
            let (images, labels) = (bytes(&decoded.images), bytes(&decoded.labels));
            let unclean = bytes(&decoded.unclean.to_kind(tch::Kind::Uint8));
            for index in (block * BLOCK).max(options.first)..((block + 1) * BLOCK).min(end) {
                let i = (index - block * BLOCK) as usize;
                let image = &images[i * image_bytes..(i + 1) * image_bytes];
                let label = &labels[i * pixels..(i + 1) * pixels];
                quality.add(label, &unclean[i * pixels..(i + 1) * pixels]);
                writer.push(image, label, None, i32::try_from(index).unwrap_or(i32::MAX))?;
                if shown.len() < SHEET_ROWS {
                    shown.push(SheetImage { image: image.to_vec(), label: label.to_vec() });
                }
            }
            watch.progress(quality.images, options.count);
        }
        let record = SamplingRecord {
            generators: vec![InputRecord { images: options.count as usize, ..self.record.clone() }],
            seed: options.seed,
            truncation: options.draw.truncation.unwrap_or(1.0),
            sampler: self.source.method(&options.draw),
            label_encoding: self.encoding,
            label_quality: quality.record(&self.layout.labels),
        };
        if outcome == Outcome::Finished {
            sheet::render("synthetic images", false, &self.layout, &shown).add_to(&writer)?;
            writer.finish(Origin::Sampled(Box::new(record.clone())))?;
        }
        Ok((outcome, record))
    }
}

/// Counts behind a [`LabelQuality`].
#[derive(Default)]
struct QualityCounts {
    images: u64,
    empty: u64,
    pixels: u64,
    unclean: u64,
    by_class: BTreeMap<u8, u64>,
}

impl QualityCounts {
    fn add(&mut self, label: &[u8], unclean: &[u8]) {
        let mut counts = [0u64; 256];
        label.iter().for_each(|&class| counts[usize::from(class)] += 1);
        self.images += 1;
        self.empty += u64::from(counts[0] == label.len() as u64);
        self.pixels += label.len() as u64;
        self.unclean += unclean.iter().map(|&unclean| u64::from(unclean)).sum::<u64>();
        for (class, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            *self.by_class.entry(class as u8).or_default() += count;
        }
    }

    fn record(&self, scheme: &LabelScheme) -> LabelQuality {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let of_class = |index: usize| self.by_class.get(&(index as u8)).copied().unwrap_or(0);
        LabelQuality {
            unclean_share: share(self.unclean, self.pixels),
            empty_share: share(self.empty, self.images),
            class_share: scheme
                .classes
                .iter()
                .enumerate()
                .map(|(index, class)| (class.name.clone(), share(of_class(index), self.pixels)))
                .collect(),
        }
    }
}

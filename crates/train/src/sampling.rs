//! Drawing a synthetic set from a trained generator.
//!
//! Image `i` is a function of (checkpoint, seed, i) alone. Its latent and noise are keyed by `i`; and because
//! the last bits of a convolution may depend on how many images it sees at once, images are always computed
//! in blocks of [`BLOCK`] whose first index is a multiple of it, whichever of them were asked for. Several generators
//! take turns by blocks.

use std::path::{Path, PathBuf};

use synthmr_core::LabelEncoding;
use synthmr_core::records::{GeneratorRecord, Origin, SamplingRecord};
use synthmr_data::sheet::{self, SHEET_ROWS, SheetImage};
use synthmr_data::store::{StoreLayout, StoreWriter};
use tch::Device;

use crate::generator::{AVERAGE, BEST, DrawOptions, ImageSource, bytes, image_source};
use crate::label_counts::LabelCounts;
use crate::opened::OpenedGenerator;
use crate::planes::Planes;
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

/// Which weights of a run images are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Snapshot {
    /// The newest checkpoint's.
    #[default]
    Last,
    /// Those with the lowest energy distance at an inspection.
    Best,
}

/// One generator that images are drawn from.
struct Member {
    source: Box<dyn ImageSource>,
    planes: Planes,
    layout: StoreLayout,
    encoding: LabelEncoding,
    record: GeneratorRecord,
    notes: Vec<String>,
}

/// Generators ready to draw from.
pub struct Sampler {
    members: Vec<Member>,
}

impl Sampler {
    /// Opens the averaged generators of the runs in `folders`, at least one, each in its newest intact checkpoint.
    ///
    /// # Errors
    /// [`TrainError`] when a folder is not a generator's run, was never trained, or is damaged, or when the runs'
    /// images differ in size, channels, classes or in how they carry the annotation.
    pub fn load(
        folders: &[impl AsRef<Path>],
        snapshot: Snapshot,
        device: Device,
    ) -> Result<Self, TrainError> {
        let mut members: Vec<Member> = Vec::with_capacity(folders.len());
        for folder in folders {
            let member = Member::load(folder.as_ref(), snapshot, device)?;
            if let Some(first) = members.first() {
                first.check_same_form(&member)?;
            }
            members.push(member);
        }
        assert!(!members.is_empty(), "there is a generator to draw from");
        Ok(Self { members })
    }

    /// The form of the images.
    pub fn layout(&self) -> &StoreLayout {
        &self.members[0].layout
    }

    /// What a person should know about the runs that were opened, such as a damaged checkpoint passed over.
    pub fn notes(&self) -> impl Iterator<Item = &str> {
        self.members.iter().flat_map(|member| &member.notes).map(String::as_str)
    }

    /// Draws images into a new store at `out`.
    ///
    /// # Errors
    /// [`TrainError`] when an option does not suit a generator or the store cannot be written; nothing stays then,
    /// nor when it is interrupted.
    pub fn sample(
        &self,
        options: SampleOptions,
        out: &Path,
        watch: &mut dyn Watch,
    ) -> Result<(Outcome, SamplingRecord), TrainError> {
        for member in &self.members {
            member.source.check(&options.draw)?;
        }
        let layout = self.layout();
        let mut writer = StoreWriter::create(out, layout.clone())?;
        let mut counts = LabelCounts::default();
        let mut drawn_from = vec![0usize; self.members.len()];
        let mut shown = Vec::new();
        let pixels = layout.height * layout.width;
        let image_bytes = pixels * layout.channels.len();
        let end = options.first + options.count;
        let mut outcome = Outcome::Finished;
        for block in options.first / BLOCK..end.div_ceil(BLOCK) {
            let turn = (block % self.members.len() as u64) as usize;
            let member = &self.members[turn];
            let numbers = block * BLOCK..(block + 1) * BLOCK;
            let stop = || watch.should_stop();
            let drawn =
                if stop() { None } else { member.source.draw(options.seed, numbers, &options.draw, &stop) };
            let Some(planes) = drawn else {
                outcome = Outcome::Interrupted;
                break;
            };
            if planes.isfinite().all().int64_value(&[]) == 0 {
                let what = format!("a value drawn from {}", member.record.name);
                return Err(TrainError::Drawn { what });
            }
            let decoded = member.planes.decode(&planes);
            let (images, labels) = (bytes(&decoded.images), bytes(&decoded.labels));
            let unclean = bytes(&decoded.unclean.to_kind(tch::Kind::Uint8));
            for index in (block * BLOCK).max(options.first)..((block + 1) * BLOCK).min(end) {
                let i = (index - block * BLOCK) as usize;
                let image = &images[i * image_bytes..(i + 1) * image_bytes];
                let label = &labels[i * pixels..(i + 1) * pixels];
                counts.add(label);
                counts.add_unclean(&unclean[i * pixels..(i + 1) * pixels]);
                drawn_from[turn] += 1;
                writer.push(image, label, None, i32::try_from(index).unwrap_or(i32::MAX))?;
                if shown.len() < SHEET_ROWS {
                    shown.push(SheetImage { image: image.to_vec(), label: label.to_vec() });
                }
            }
            watch.progress(counts.images(), options.count);
        }
        let generators = self.members.iter().zip(drawn_from).map(|(member, images)| GeneratorRecord {
            images,
            sampler: member.source.method(&options.draw),
            ..member.record.clone()
        });
        let record = SamplingRecord {
            generators: generators.collect(),
            block: BLOCK,
            seed: options.seed,
            truncation: options.draw.truncation.unwrap_or(1.0),
            label_encoding: self.members[0].encoding,
            label_quality: counts.quality(&layout.labels),
        };
        if outcome == Outcome::Finished {
            sheet::render("synthetic images", false, layout, &shown).add_to(&writer)?;
            writer.finish(Origin::Sampled(Box::new(record.clone())))?;
        }
        Ok((outcome, record))
    }
}

impl Member {
    fn load(folder: &Path, snapshot: Snapshot, device: Device) -> Result<Self, TrainError> {
        let OpenedGenerator { mut run, config, precision, planes } = OpenedGenerator::open(folder, device)?;
        let weights = match snapshot {
            Snapshot::Last => run.checkpoint.take(AVERAGE),
            Snapshot::Best => run.checkpoint.take(BEST),
        };
        if weights.is_empty() {
            return Err(TrainError::Mismatch {
                what: format!("{}: best snapshot", folder.display()),
                expected: "one that an inspection has chosen".into(),
                found: "none".into(),
                hint: "draw from the last one; training keeps the best with inspection.images above 0".into(),
            });
        }
        let source = image_source(&config, &planes, device, precision);
        let loaded = source.parameters().load(&weights);
        loaded.map_err(|source| TrainError::Weights { path: folder.to_owned(), source })?;
        if !source.is_grown() {
            let folder = folder.display();
            run.notes.push(format!("{folder} has not grown to its full resolution; its images are coarse"));
        }
        let side = config.resolution as usize;
        let record = run.record;
        if let Some(weights) = &record.adopted {
            run.notes.push(format!(
                "{} holds weights from elsewhere ({}); what they were trained on is not known here",
                folder.display(),
                weights.name
            ));
        }
        Ok(Self {
            source,
            planes,
            layout: StoreLayout {
                channels: record.channels,
                height: side,
                width: side,
                labels: record.labels,
            },
            encoding: config.labels,
            record: GeneratorRecord {
                name: folder.file_name().map(PathBuf::from).unwrap_or_default().display().to_string(),
                digest: run.digest,
                images: 0,
                sampler: None,
                snapshot: (snapshot == Snapshot::Best).then(|| "best".to_owned()),
                trained_on: record.inputs,
                adopted: record.adopted,
                training_labels: record.training_labels,
            },
            notes: run.notes,
        })
    }

    fn check_same_form(&self, other: &Self) -> Result<(), TrainError> {
        let form = |member: &Self| {
            let StoreLayout { channels, height, width, labels } = &member.layout;
            let classes = labels.class_names().join(", ");
            let encoding = format!("{:?}", member.encoding).to_lowercase();
            format!("{height}x{width}, {}, {classes}, {encoding} annotation", channels.join(", "))
        };
        if self.layout == other.layout && self.encoding == other.encoding {
            return Ok(());
        }
        Err(TrainError::Mismatch {
            what: format!("images of {}", other.record.name),
            expected: format!("those of {}: {}", self.record.name, form(self)),
            found: form(other),
            hint: "draw from generators of one kind of images; others make sets of their own".into(),
        })
    }
}

//! Everything that changes while a generator trains, and how it is saved.

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};
use synthmr_core::records::Tick;
use tch::{Device, Tensor};

use super::grid::{Drawn, Gallery};
use super::inspection::{Fault, Health};
use super::learner::{BEST, is_finite, restore_tensors, saved_tensors};
use super::means::Means;
use super::trainer::GeneratorJob;
use super::{InspectionConfig, Learner, Measured, learner};
use crate::TrainError;
use crate::checkpoint::Checkpoint;
use crate::planes::Planes;
use crate::run::Run;

/// Everything that changes while a generator trains.
pub(super) struct Training {
    pub(super) learner: Box<dyn Learner>,
    pub(super) images_seen: u64,
    /// An inspection is to be made before the next step. A checkpoint is saved first, and says so: an inspection that
    /// is interrupted is made again.
    pub(super) inspection_due: bool,
    /// What the steps measured since the last tick.
    means: Means,
    inspected: Inspected,
    /// The averaged generator's weights at the best inspection.
    best: BTreeMap<String, Tensor>,
    rules: InspectionConfig,
    device: Device,
}

/// What the inspections have found so far.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Inspected {
    best: Option<Best>,
    /// The faults that the last inspection found, and at how many in a row.
    faults: BTreeMap<Fault, u64>,
    /// Why the training ends before all images are shown.
    stopped: Option<String>,
}

/// The best inspection.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Best {
    images_seen: u64,
    energy_distance: f64,
}

/// The part of a checkpoint that is not tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Counters {
    learner: serde_json::Value,
    means: BTreeMap<String, (f64, u64)>,
    inspection_due: bool,
    inspected: Inspected,
}

impl Training {
    /// The state before the first step.
    pub(super) fn new(job: &GeneratorJob<'_>, planes: &Planes) -> Self {
        Self {
            learner: learner(job.config, planes, job.devices, job.precision),
            images_seen: 0,
            inspection_due: false,
            means: Means::default(),
            inspected: Inspected::default(),
            best: BTreeMap::new(),
            rules: job.config.inspection.clone(),
            device: planes.device(),
        }
    }

    /// Why the training ends before all images are shown.
    pub(super) fn stopped(&self) -> Option<&str> {
        self.inspected.stopped.as_deref()
    }

    /// Images seen at the last tick that will not be repeated: the one of a due inspection will.
    pub(super) fn last_tick(&self) -> u64 {
        self.images_seen.saturating_sub(u64::from(self.inspection_due))
    }

    pub(super) fn step(&mut self, reals: &Tensor, batch: u64) -> Measured {
        let measured = self.learner.step(reals, self.images_seen);
        self.images_seen += batch;
        self.means.add(&measured);
        measured
    }

    /// The means since the last tick, with the rate since `clock` (seconds, images seen), which moves to `now`.
    pub(super) fn tick(&mut self, clock: &mut (f64, u64), now: f64) -> Result<Tick, TrainError> {
        let mut values = self.means.take(self.images_seen)?;
        values.extend(self.learner.gauges().into_iter().map(|(name, value)| (name.into(), value)));
        let rate = (self.images_seen - clock.1) as f64 / (now - clock.0).max(1e-9);
        values.insert("images_per_second".into(), rate);
        *clock = (now, self.images_seen);
        Ok(Tick { images_seen: self.images_seen, values })
    }

    /// Compares drawn images with real ones, adds what was found to the tick, keeps the best snapshot, and applies the
    /// rules.
    pub(super) fn inspect(&mut self, gallery: &Gallery<'_>, drawn: &Drawn, tick: &mut Tick) {
        self.inspection_due = false;
        let Some(health) = gallery.health(drawn) else { return };
        let grown = self.learner.average().is_grown();
        // Small images lack what makes large ones differ.
        let comparable = if grown { health } else { Health { diversity: None, copying: None, ..health } };
        let faults = self.rules.faults(&comparable, tick.values.get("real_sign").copied());
        tick.values.extend(health.values());
        let energy_distance = health.energy_distance;
        // Neither an image that is still to grow nor one that breaks a rule is the best.
        let fit = grown && faults.is_empty();
        if fit && self.inspected.best.as_ref().is_none_or(|best| energy_distance < best.energy_distance) {
            self.inspected.best = Some(Best { images_seen: self.images_seen, energy_distance });
            let copies = self.learner.average().parameters().all();
            self.best = copies.map(|(name, value)| (name.to_owned(), value.detach().copy())).collect();
        }
        let before = std::mem::take(&mut self.inspected.faults);
        for (fault, words) in faults {
            let times = before.get(&fault).copied().unwrap_or(0) + 1;
            self.inspected.faults.insert(fault, times);
            if times >= self.rules.patience {
                let best = self.inspected.best.as_ref();
                let best =
                    best.map_or_else(|| "none".to_owned(), |best| format!("of {} images", best.images_seen));
                let kind = fault.name();
                self.inspected.stopped =
                    Some(format!("{kind}: {words}, at {times} inspections in a row; best snapshot: {best}"));
            }
        }
    }

    pub(super) fn restore(&mut self, mut checkpoint: Checkpoint, folder: &Path) -> Result<(), TrainError> {
        let best = checkpoint.take(BEST);
        self.best = best.into_iter().map(|(name, value)| (name, value.to_device(self.device))).collect();
        restore_tensors(self.learner.as_ref(), &mut checkpoint, folder)?;
        let missing = |_| TrainError::State { path: folder.to_owned(), part: "counters".to_owned() };
        let counters: Counters = serde_json::from_value(checkpoint.state).map_err(missing)?;
        self.learner.set_counters(counters.learner).map_err(missing)?;
        self.means = Means::restored(counters.means);
        self.inspection_due = counters.inspection_due;
        self.inspected = counters.inspected;
        self.images_seen = checkpoint.images_seen;
        Ok(())
    }

    /// Saves a checkpoint, unless the last steps have ruined the state: the one before stays the newest then.
    pub(super) fn save(&self, run: &Run) -> Result<(), TrainError> {
        if !is_finite(self.learner.as_ref()) {
            return Err(TrainError::NotFinite { what: "a weight".into(), images_seen: self.images_seen });
        }
        let counters = Counters {
            learner: self.learner.counters(),
            means: self.means.saved(),
            inspection_due: self.inspection_due,
            inspected: self.inspected.clone(),
        };
        #[expect(clippy::expect_used, reason = "a struct of numbers has a JSON form")]
        let state = serde_json::to_value(counters).expect("counters serialise");
        let mut tensors = saved_tensors(self.learner.as_ref());
        tensors
            .extend(self.best.iter().map(|(name, value)| (format!("{BEST}{name}"), value.shallow_clone())));
        run.save_checkpoint(&Checkpoint { images_seen: self.images_seen, state, tensors })?;
        Ok(())
    }
}

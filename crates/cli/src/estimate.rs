//! What a training is going to cost, measured: its first steps are run in a folder that is thrown away.

use std::path::Path;
use std::time::Instant;

use synthmr_core::files::FolderWriter;
use synthmr_core::records::Tick;
use synthmr_train::{Outcome, TrainError, Watch};

use crate::console;
use crate::failure::Failure;
use crate::system;

/// Steps that are measured: the first one pays for set-up and for every penalty that later steps apply lazily.
const STEPS: usize = 4;
/// Measuring stops after this time, whatever was reached.
const SECONDS: f64 = 20.0;
/// How often the expensive first step recurs, about: lazy penalties are applied every 4 to 16 steps.
const EXPENSIVE_EVERY: f64 = 8.0;

/// Cost of a training.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// Seconds, roughly: the cost of a step varies.
    pub(crate) seconds: f64,
    /// Most memory held while it was measured.
    pub(crate) memory_bytes: Option<u64>,
    /// Size of one checkpoint.
    pub(crate) checkpoint_bytes: u64,
}

impl Estimate {
    /// Runs the first steps of `train` beside `out`; stops early when `watch` wants to stop.
    pub(crate) fn measure(
        out: &Path,
        watch: &dyn Watch,
        train: impl FnOnce(&Path, &mut dyn Watch) -> Result<Outcome, TrainError>,
    ) -> Result<Self, Failure> {
        // Never committed: the folder disappears when the writer is dropped.
        let mut beside = out.as_os_str().to_owned();
        beside.push(".estimate");
        let scratch = FolderWriter::create(Path::new(&beside))?;
        let folder = scratch.path().join("run");
        let mut probe = Probe { watch, begun: Instant::now(), steps: Vec::new(), total: 0 };
        train(&folder, &mut probe)?;
        Ok(Self {
            seconds: probe.total_seconds(),
            memory_bytes: system::peak_resident_bytes(),
            checkpoint_bytes: largest_file(&folder.join("checkpoints")),
        })
    }

    /// Disk that the run needs: two checkpoints stay, and a third exists while it is written.
    pub(crate) fn disk_bytes(&self) -> u64 {
        3 * self.checkpoint_bytes
    }

    /// The estimate beside what there is.
    pub(crate) fn lines(&self, out: &Path) -> String {
        let mut lines = vec![format!("time    about {}", console::duration(self.seconds))];
        if let Some(needed) = self.memory_bytes {
            let there = system::memory()
                .map_or_else(String::new, |(total, _)| format!(" of {}", console::bytes(total)));
            lines.push(format!("memory  about {}{there}", console::bytes(needed)));
        }
        let free = system::free_disk_bytes(out)
            .map_or_else(String::new, |free| format!(" of {} free", console::bytes(free)));
        lines.push(format!("disk    about {}{free}", console::bytes(self.disk_bytes())));
        lines.join("\n")
    }
}

/// A watch that lets a few steps pass and measures them.
struct Probe<'a> {
    watch: &'a dyn Watch,
    begun: Instant,
    /// Seconds and images at the end of each step.
    steps: Vec<(f64, u64)>,
    total: u64,
}

impl Probe<'_> {
    fn total_seconds(&self) -> f64 {
        let Some(&(first_end, batch)) = self.steps.first() else { return 0.0 };
        let first = first_end;
        let step = match self.steps.last() {
            Some(&(end, _)) if self.steps.len() > 1 => (end - first_end) / (self.steps.len() - 1) as f64,
            _ => first,
        };
        let mean = step + (first - step).max(0.0) / EXPENSIVE_EVERY;
        mean * (self.total as f64 / batch.max(1) as f64)
    }
}

impl Watch for Probe<'_> {
    fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64()
    }

    fn should_stop(&self) -> bool {
        let enough = self.steps.len() >= STEPS || self.seconds() > SECONDS;
        self.watch.should_stop() || (enough && !self.steps.is_empty())
    }

    fn progress(&mut self, images_done: u64, images_total: u64) {
        self.total = images_total;
        self.steps.push((self.seconds(), images_done));
    }

    fn tick(&mut self, _: &Tick) {}

    fn note(&mut self, _: &str) {}
}

fn largest_file(folder: &Path) -> u64 {
    let sizes = std::fs::read_dir(folder).into_iter().flatten().flatten();
    sizes.filter_map(|entry| Some(entry.metadata().ok()?.len())).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::watch::Terminal;

    #[test]
    fn the_first_step_counts_less_than_the_others() {
        let steps = vec![(3.0, 8), (4.0, 16), (5.0, 24)];
        let watch = Terminal::new("images").unwrap();
        let mut probe = Probe { watch: &watch, begun: Instant::now(), steps, total: 800 };
        assert_eq!(probe.total_seconds(), 100.0 * (1.0 + 2.0 / 8.0));
        probe.steps.clear();
        assert_eq!(probe.total_seconds(), 0.0);
    }
}

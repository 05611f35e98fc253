//! `synthmr phantom`: a procedural cohort to try things on.

use std::path::PathBuf;

use synthmr_data::phantom::{self, DEFAULT_SIZE, PhantomOptions};

use crate::arguments::Common;
use crate::console;
use crate::engine::set_up_threads;
use crate::failure::Failure;
use crate::watch::StopFlag;

/// Write a procedural cohort to try things on.
///
/// Its subjects look like skull-stripped brain MR with tumours, in BraTS's layout. Nobody's data is in it.
#[derive(Debug, clap::Args)]
pub(crate) struct Phantom {
    /// Folder that is made.
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Number of subjects.
    #[arg(long, value_name = "N", default_value_t = 12)]
    subjects: usize,
    /// Seed; a larger cohort of the same seed begins with the smaller one.
    #[arg(long, value_name = "S", default_value_t = 0)]
    seed: u64,
    /// Voxels along x and y; 240 is the size of BraTS volumes.
    #[arg(long, value_name = "VOXELS", default_value_t = DEFAULT_SIZE)]
    size: usize,
}

impl Phantom {
    /// Writes the cohort.
    pub(crate) fn run(&self, common: Common) -> Result<(), Failure> {
        set_up_threads(common);
        let options = PhantomOptions { subjects: self.subjects, seed: self.seed, size: self.size };
        let all = self.subjects;
        let stop = StopFlag::new()?;
        phantom::generate(&self.dir, &options, &|done| {
            console::note(&format!("subject {done} of {all}"));
            stop.wish()
        })?;
        console::result(&format!("{}: {all} phantom subjects", self.dir.display()));
        Ok(())
    }
}

//! A generator's run opened for use: what its record says, before any network is built.

use std::path::Path;

use synthmr_core::records::ModelKind;
use synthmr_nets::engine::Precision;
use tch::Device;

use crate::TrainError;
use crate::generator::GeneratorConfig;
use crate::planes::Planes;
use crate::run::TrainedRun;

/// A generator's run at its newest intact checkpoint.
pub(crate) struct OpenedGenerator {
    pub(crate) run: TrainedRun,
    pub(crate) config: GeneratorConfig,
    pub(crate) precision: Precision,
    pub(crate) planes: Planes,
}

impl OpenedGenerator {
    /// Opens the run in `folder`.
    ///
    /// # Errors
    /// [`TrainError`] when the folder is not a generator's run, was never trained, or is damaged.
    pub(crate) fn open(folder: &Path, device: Device) -> Result<Self, TrainError> {
        let run = TrainedRun::open(folder)?;
        let mismatch = |what: &str, expected: &str, found: String| TrainError::Mismatch {
            what: format!("{}: {what}", folder.display()),
            expected: expected.to_owned(),
            found,
            hint: "give a folder that `synthmr train generator` made".into(),
        };
        if run.record.kind != ModelKind::Generator {
            return Err(mismatch(
                "kind of run",
                "generator",
                format!("{:?}", run.record.kind).to_lowercase(),
            ));
        }
        let config: GeneratorConfig = serde_json::from_value(run.record.config.clone())
            .map_err(|e| mismatch("configuration", "a generator's", e.to_string()))?;
        config.validate()?;
        let precision: Precision = run
            .record
            .engine
            .precision
            .parse()
            .map_err(|found: String| mismatch("precision", "f32 or bf16", found))?;
        let planes = Planes::new(run.record.channels.len(), &run.record.labels, config.labels, device);
        Ok(Self { run, config, precision, planes })
    }
}

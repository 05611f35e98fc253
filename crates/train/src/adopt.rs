//! A run made of weights that were trained elsewhere, so that images can be drawn from them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};
use serde_json::Value;
use synthmr_core::Digest;
use synthmr_core::files::at;
use synthmr_core::records::{EngineRecord, InputRecord, ModelKind, RunRecord, SCHEMA, Tool};
use synthmr_data::store::StoreLayout;
use synthmr_nets::engine::Precision;
use tch::{Device, Kind, Tensor};

use crate::checkpoint::Checkpoint;
use crate::generator::{AVERAGE, GeneratorConfig, image_source};
use crate::planes::Planes;
use crate::run::Run;
use crate::{TrainError, Watch};

/// Weights to make a run of.
pub struct Adoption<'a> {
    /// The network that they belong to.
    pub config: &'a GeneratorConfig,
    /// The images that it makes.
    pub layout: StoreLayout,
    /// A safetensors file with the generator's tensors, named as `tools/weights/README.md` says.
    pub weights: &'a Path,
    /// Name of that file in records.
    pub name: &'a str,
    /// What goes into `run.json` about the engine that draws.
    pub engine: EngineRecord,
}

/// Makes a complete run in `folder`, a new one, whose only checkpoint holds the weights.
///
/// # Errors
/// [`TrainError`] when the file is not one of safetensors, the tensors do not fit the configuration or are not
/// finite, the layout has another size, or the folder holds something; nothing that could be drawn from stays then.
pub fn adopt(adoption: &Adoption<'_>, folder: &Path, watch: &mut dyn Watch) -> Result<(), TrainError> {
    let Adoption { config, layout, weights, name, engine } = adoption;
    config.validate()?;
    let side = config.resolution as usize;
    if (layout.height, layout.width) != (side, side) {
        return Err(TrainError::Mismatch {
            what: "size of the images".into(),
            expected: format!("{side}x{side}, the configuration's"),
            found: format!("{}x{}", layout.height, layout.width),
            hint: "choose the preset of this resolution, or a store of the weights' resolution".into(),
        });
    }
    let bytes = fs::read(weights).map_err(at("read", weights))?;
    let tensors = parse(weights, &bytes)?;
    let planes = Planes::new(layout.channels.len(), &layout.labels, config.labels, Device::Cpu);
    let source = image_source(config, &planes, Device::Cpu, Precision::F32);
    source
        .parameters()
        .load(&tensors)
        .map_err(|source| TrainError::Weights { path: weights.to_path_buf(), source })?;

    #[expect(clippy::expect_used, reason = "a validated configuration holds finite numbers and strings")]
    let settings = serde_json::to_value(config).expect("a configuration serialises");
    let record = RunRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        kind: ModelKind::Generator,
        config: settings,
        inputs: Vec::new(),
        adopted: Some(InputRecord {
            name: (*name).to_owned(),
            digest: Digest::of_large(&bytes),
            split: String::new(),
            weight: None,
            images: 0,
        }),
        channels: layout.channels.clone(),
        labels: layout.labels.clone(),
        training_labels: None,
        engine: engine.clone(),
    };
    let run = Run::start(folder, &record, watch)?;
    let tensors = tensors.into_iter().map(|(name, tensor)| (format!("{AVERAGE}{name}"), tensor)).collect();
    run.save_checkpoint(&Checkpoint { images_seen: 0, state: Value::Null, tensors })?;
    run.finish(0, None)?;
    Ok(())
}

/// The tensors of a safetensors file, as f32.
fn parse(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, Tensor>, TrainError> {
    let refused = |expected: &str, found: String| TrainError::Mismatch {
        what: path.display().to_string(),
        expected: expected.to_owned(),
        found,
        hint: "tools/weights/convert.py makes such files from other programs' weights".into(),
    };
    let file = SafeTensors::deserialize(bytes)
        .map_err(|e| refused("a safetensors file", format!("something else: {e}")))?;
    let tensor = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let kind = match view.dtype() {
            Dtype::F64 => Kind::Double,
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            other => return Err(refused("tensors of floating-point numbers", format!("{name}: {other:?}"))),
        };
        let shape: Result<Vec<i64>, _> = view.shape().iter().map(|&side| i64::try_from(side)).collect();
        let tensor = shape.ok().and_then(|shape| Tensor::f_from_data_size(view.data(), &shape, kind).ok());
        let tensor = tensor.ok_or_else(|| refused("tensors that fit in memory", name.clone()))?;
        Ok((name, tensor.to_kind(Kind::Float)))
    };
    file.tensors().into_iter().map(tensor).collect()
}

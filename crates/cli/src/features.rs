//! `--features NAME`: the networks whose features are compared, as they are typed.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use synthmr_core::records::FeatureRecord;
use synthmr_nets::features::{FeatureBatch, FeatureNetwork, Sees};
use synthmr_nets::tch::{Device, Kind, Tensor};
use synthmr_realism::{FeatureSource, Sets};
use synthmr_train::segmentation::{Segmenter, Weights};

use crate::console;
use crate::failure::{Code, Failure};

/// Where `cargo xtask weights` puts the weights of EfficientNet-lite0, below the cache folder.
const EFFICIENTNET_FILE: &str = "weights/efficientnet-lite0.safetensors";

/// A network and, where it needs one, its file or run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FeatureChoice {
    /// Weights from the cache, or from this file.
    EfficientNetLite0(Option<PathBuf>),
    /// The published weights of the FID, converted.
    InceptionV3(PathBuf),
    /// A run of a segmenter.
    Segmenter(PathBuf),
    /// No weights.
    RandomConv,
}

impl FromStr for FeatureChoice {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (name, path) = match text.split_once(':') {
            Some((name, path)) if !path.is_empty() => (name, Some(PathBuf::from(path))),
            _ => (text, None),
        };
        match (name, path) {
            ("efficientnet-lite0", path) => Ok(Self::EfficientNetLite0(path)),
            ("inception-v3", Some(path)) => Ok(Self::InceptionV3(path)),
            ("segmenter", Some(path)) => Ok(Self::Segmenter(path)),
            ("random-conv", None) => Ok(Self::RandomConv),
            ("inception-v3", None) => Err("expected inception-v3:FILE, the converted weights".into()),
            ("segmenter", None) => Err("expected segmenter:RUN".into()),
            _ => Err("expected efficientnet-lite0, inception-v3:FILE, segmenter:RUN or random-conv".into()),
        }
    }
}

impl fmt::Display for FeatureChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::EfficientNetLite0(None) => write!(f, "efficientnet-lite0"),
            Self::EfficientNetLite0(Some(path)) => write!(f, "efficientnet-lite0:{}", path.display()),
            Self::InceptionV3(path) => write!(f, "inception-v3:{}", path.display()),
            Self::Segmenter(path) => write!(f, "segmenter:{}", path.display()),
            Self::RandomConv => write!(f, "random-conv"),
        }
    }
}

impl FeatureChoice {
    /// The network, ready for the images of `sets`.
    pub(crate) fn open(&self, sets: &Sets, device: Device) -> Result<FeatureSource, Failure> {
        match self {
            Self::EfficientNetLite0(Some(path)) => Ok(FeatureSource::efficientnet_lite0(path, device)?),
            Self::EfficientNetLite0(None) => {
                let path = cached().filter(|path| path.is_file()).ok_or_else(|| {
                    let words = "the weights of efficientnet-lite0 are not in the cache\n\
                                 hint: `cargo xtask weights` fetches them once (17 MB); or use another network with --features, \
                                 such as segmenter:RUN, or random-conv, which needs no weights and says less";
                    Failure::in_words(Code::Environment, words)
                })?;
                Ok(FeatureSource::efficientnet_lite0(&path, device)?)
            }
            Self::InceptionV3(path) => Ok(FeatureSource::inception_v3(path, device)?),
            Self::Segmenter(path) => segmenter(path, sets, device),
            Self::RandomConv => Ok(FeatureSource::random_conv(device)),
        }
    }
}

/// The file in the cache: `SYNTHMR_CACHE`, else `synthmr` in the user's cache folder, as for `cargo xtask`.
fn cached() -> Option<PathBuf> {
    let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let xdg =
        || variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("synthmr"));
    let home = || variable("HOME").map(|path| path.join(".cache").join("synthmr"));
    Some(variable("SYNTHMR_CACHE").or_else(xdg).or_else(home)?.join(EFFICIENTNET_FILE))
}

/// A segmentation network by its bottleneck: what it learnt to see in images of this kind.
struct Bottleneck {
    segmenter: Segmenter,
    dims: i64,
}

impl FeatureNetwork for Bottleneck {
    fn dims(&self) -> i64 {
        self.dims
    }

    fn sees(&self) -> Sees {
        Sees::AllContrasts
    }

    fn features(&self, images: &Tensor) -> FeatureBatch {
        FeatureBatch { values: self.segmenter.bottleneck(images), probabilities: None }
    }
}

fn segmenter(run: &Path, sets: &Sets, device: Device) -> Result<FeatureSource, Failure> {
    let segmenter = Segmenter::load(run, Weights::Best, device)?;
    segmenter.notes().iter().for_each(|note| console::note(&format!("note: {note}")));
    segmenter.check(sets.real_store())?;
    let manifest = sets.real_store().manifest();
    let size = [1, manifest.channels.len() as i64, manifest.height as i64, manifest.width as i64];
    let dims = segmenter.bottleneck(&Tensor::zeros(size, (Kind::Uint8, device))).size()[1];
    let inputs: Vec<String> = segmenter
        .record()
        .inputs
        .iter()
        .map(|input| {
            if input.split.is_empty() {
                input.name.clone()
            } else {
                format!("{}:{}", input.name, input.split)
            }
        })
        .collect();
    let record = FeatureRecord {
        name: "segmenter".into(),
        digest: segmenter.digest().clone(),
        dims: dims as usize,
        protocol: format!(
            "all contrasts together, prepared as for segmentation; largest value over pixels of the bottleneck of a \
             network trained on {}",
            inputs.join(", ")
        ),
    };
    Ok(FeatureSource { network: Box::new(Bottleneck { segmenter, dims }), record, device })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_they_are_printed_as() {
        for text in
            ["efficientnet-lite0", "efficientnet-lite0:a/b", "inception-v3:x", "segmenter:seg", "random-conv"]
        {
            assert_eq!(text.parse::<FeatureChoice>().unwrap().to_string(), text);
        }
        for text in ["inception-v3", "segmenter:", "random-conv:x", "vgg"] {
            assert!(text.parse::<FeatureChoice>().unwrap_err().starts_with("expected "), "{text}");
        }
    }
}

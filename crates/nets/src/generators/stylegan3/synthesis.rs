//! The synthesis network: styles to images (Karras et al. 2021, figure 4b).

use tch::{Kind, Tensor};

use super::StyleGan3Config;
use super::input::FourierFeatures;
use super::layer::Layer;
use super::schedule::bands;
use crate::engine::{Scope, channels_last};
use crate::generators::gan::Noise;
use crate::generators::styled;

/// The layers represent black and white by -4 and 4 (appendix F.1).
const OUTPUT_SCALE: f64 = 0.25;

/// Styles `[n, style_count, w_dim]` to images `[n, planes, resolution, resolution]`.
pub struct Synthesis {
    /// The Fourier features, whose transform a user may set.
    pub input: FourierFeatures,
    layers: Vec<Layer>,
    compute: Kind,
}

impl Synthesis {
    /// Builds the layers under `scope`; convolutions compute in `compute`.
    ///
    /// # Panics
    /// When the configuration is one that the schedule does not know; see [`bands`].
    pub fn new(mut scope: Scope<'_>, config: &StyleGan3Config, compute: Kind) -> Self {
        let bands = bands(config);
        let input = FourierFeatures::new(scope.sub("input"), config.w_dim, &bands[0]);
        let layers = bands
            .iter()
            .enumerate()
            .map(|(index, output)| {
                let input = &bands[index.saturating_sub(1)];
                let scope = scope.sub(&format!("L{index}_{}_{}", output.size, output.channels));
                if index == config.layers {
                    Layer::image(scope, config, input, output)
                } else {
                    Layer::filtered(scope, config, input, output)
                }
            })
            .collect();
        Self { input, layers, compute }
    }
}

impl styled::Synthesis for Synthesis {
    const MEAN_W_DECAY: f64 = 0.998;

    /// Number of styles: one for the input and one for each layer.
    fn style_count(&self) -> i64 {
        self.layers.len() as i64 + 1
    }

    /// What is tracked are the magnitudes of the layers' inputs.
    fn forward(&self, styles: &Tensor, _: &Noise, track: Option<i64>) -> Tensor {
        let features = self.input.forward(&styles.select(1, 0));
        let x = channels_last(&features.to_kind(self.compute));
        let image = self
            .layers
            .iter()
            .zip(1..)
            .fold(x, |x, (layer, style)| layer.forward(&x, &styles.select(1, style), track));
        image * OUTPUT_SCALE
    }
}

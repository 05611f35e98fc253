//! The layer schedule: what each layer's signal contains and how it is sampled (Karras et al. 2021, section 3.2
//! and appendix F.1, equations 35 and 36, figure 4c). Computed in f64.
//!
//! Frequencies are in cycles per image side, rates in samples per image side, sizes in samples.

use super::StyleGan3Config;

/// Layers at the end that are critically sampled: their cut-off is half the rate, for sharp images.
const CRITICAL_LAYERS: usize = 2;
/// Cut-off of the Fourier features, f_c,0.
const FIRST_CUTOFF: f64 = 2.0;
/// Where the stopband of the first layer begins, f_t,0 = 2^2.1.
const FIRST_STOPBAND_LOG2: f64 = 2.1;
/// Where the stopband of the last layer begins relative to its cut-off, f_t,N / f_c,N = 2^0.3.
const LAST_STOPBAND_LOG2: f64 = 0.3;
/// Samples kept around the image on each side, so that filters do not see its border.
const MARGIN: i64 = 10;

/// The signal that a layer puts out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Band {
    /// Cut-off of the low-pass filter, f_c.
    pub cutoff: f64,
    /// Half the width of its transition band, f_h.
    pub half_width: f64,
    /// Sampling rate s, a power of two.
    pub rate: i64,
    /// Side of the feature maps, margins included.
    pub size: i64,
    /// Feature maps.
    pub channels: i64,
    /// True when the cut-off is the highest frequency that the rate can carry.
    pub critical: bool,
}

/// The bands of all layers: index i of the paper's figure 4c. Layer 0 filters the Fourier features, which have the
/// same band; the last layer makes the image.
///
/// # Panics
/// When the configuration has a resolution that is not a power of two of at least 16, or fewer than 3 layers.
pub fn bands(config: &StyleGan3Config) -> Vec<Band> {
    let StyleGan3Config { resolution, layers, .. } = *config;
    assert!(
        resolution >= 16 && resolution.count_ones() == 1,
        "resolution {resolution}: a power of two from 16"
    );
    assert!(layers > CRITICAL_LAYERS, "{layers} layers: at least {}", CRITICAL_LAYERS + 1);
    let last_cutoff = resolution as f64 / 2.0;
    let first_stopband = FIRST_STOPBAND_LOG2.exp2();
    let last_stopband = last_cutoff * LAST_STOPBAND_LOG2.exp2();
    let progress = |i: usize| (i as f64 / (layers - CRITICAL_LAYERS) as f64).min(1.0);
    (0..=layers)
        .map(|i| {
            let cutoff = FIRST_CUTOFF * (last_cutoff / FIRST_CUTOFF).powf(progress(i));
            let stopband = first_stopband * (last_stopband / first_stopband).powf(progress(i));
            let rate = (2.0 * stopband).min(resolution as f64).log2().ceil().exp2();
            let maps = (config.channel_base as f64 / 2.0 / cutoff).min(config.channel_max as f64);
            Band {
                cutoff,
                half_width: stopband.max(rate / 2.0) - cutoff,
                rate: rate as i64,
                // The last two layers work on the image without margins.
                size: if i + 1 >= layers { resolution } else { rate as i64 + 2 * MARGIN },
                channels: if i == layers { config.planes } else { maps.round_ties_even().max(1.0) as i64 },
                critical: i + CRITICAL_LAYERS >= layers,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::Variant;
    use super::*;

    /// Sizes and feature maps of `stylegan3-t` at 256x256, as the names of mmagic's layers tell them
    /// (`tools/golden/stylegan3.py` prints them).
    #[test]
    fn sizes_and_maps_of_the_published_configuration() {
        let config = StyleGan3Config {
            variant: Variant::Translation,
            resolution: 256,
            planes: 3,
            z_dim: 512,
            w_dim: 512,
            mapping_layers: 2,
            channel_base: 32768,
            channel_max: 512,
            layers: 14,
        };
        let found: Vec<(i64, i64)> = bands(&config).iter().map(|band| (band.size, band.channels)).collect();
        let sizes = [36, 36, 36, 52, 52, 84, 84, 148, 148, 148, 276, 276, 276, 256, 256];
        let maps = [512, 512, 512, 512, 512, 512, 512, 512, 512, 362, 256, 181, 128, 128, 3];
        assert_eq!(found, sizes.into_iter().zip(maps).collect::<Vec<_>>());
        let last = bands(&config)[14];
        assert_eq!((last.cutoff, last.rate, last.critical), (128.0, 256, true));
        assert!((last.half_width - 128.0 * (0.3f64.exp2() - 1.0)).abs() < 1e-12);
    }
}

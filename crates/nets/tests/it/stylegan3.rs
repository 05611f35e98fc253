use std::collections::BTreeMap;

use synthmr_core::random::{self, Draw, Stream};
use synthmr_nets::engine::Precision;
use synthmr_nets::generators::gan::{Generator as _, Noise};
use synthmr_nets::generators::stylegan3::filters::LowPass;
use synthmr_nets::generators::stylegan3::{Generator, Placement, StyleGan3Config, Variant, equivariance};
use tch::{Device, Kind, Tensor};

use crate::golden::{below, difference, load};

/// f32 sums of a few hundred terms in another order: about 1e-6; the promise to users is 1e-4.
const TOLERANCE: f64 = 1e-5;

const VARIANTS: [(&str, Variant, i64); 2] = [("t", Variant::Translation, 96), ("r", Variant::Rotation, 128)];

fn tiny(variant: Variant, channel_base: i64) -> StyleGan3Config {
    StyleGan3Config {
        variant,
        resolution: 32,
        planes: 3,
        z_dim: 6,
        w_dim: 8,
        mapping_layers: 2,
        channel_base,
        channel_max: 7,
        layers: 6,
    }
}

fn golden_generator(golden: &BTreeMap<String, Tensor>, name: &str, precision: Precision) -> Generator {
    let (_, variant, base) = VARIANTS.into_iter().find(|found| found.0 == name).unwrap();
    let g = Generator::new(&tiny(variant, base), 0, Device::Cpu, precision);
    g.parameters.load(&below(golden, &format!("{name}.g."))).unwrap();
    g
}

#[test]
fn outputs_and_gradients_equal_mmagic_with_the_same_weights() {
    let golden = load("stylegan3");
    for (name, _, _) in VARIANTS {
        let g = golden_generator(&golden, name, Precision::F32);
        let of = |key: &str| &golden[&format!("{name}.{key}")];
        let images = g.images(of("z"), 1.0, &Noise::None);
        let error = difference(&images, of("images"));
        assert!(error < TOLERANCE, "{name}: {error:.1e}");

        (images * of("direction")).mean(Kind::Float).backward();
        let expected = below(&golden, &format!("{name}.grad."));
        assert_eq!(expected.len(), g.parameters.trainable().count());
        for (parameter, tensor) in g.parameters.trainable() {
            let gradient = &expected[parameter];
            // Relative to the gradient's own size: many are far below one.
            let scale = gradient.abs().max().double_value(&[]);
            let error = (tensor.grad() - gradient).abs().max().double_value(&[]) / scale;
            assert!(error < TOLERANCE, "gradient of {name}.{parameter}: {error:.1e}");
        }
    }
}

#[test]
fn large_signals_are_cut_off_as_in_mmagic() {
    let golden = load("stylegan3");
    let g = golden_generator(&golden, "t", Precision::F32);
    let (_, bias) = g.parameters.trainable().find(|(name, _)| *name == "synthesis.L2_52_7.bias").unwrap();
    let _ = tch::no_grad(|| bias.shallow_clone().g_mul_scalar_(4000.0));
    let images = g.images(&golden["t.z"], 1.0, &Noise::None);
    assert!(difference(&images, &golden["t.clamped"]) < TOLERANCE);
    assert!(difference(&images, &golden["t.images"]) > 0.1);
}

#[test]
fn frequencies_beyond_the_band_fade_as_in_mmagic() {
    let golden = load("stylegan3");
    let g = golden_generator(&golden, "t", Precision::F32);
    tch::no_grad(|| g.synthesis.input.transform().copy_(&golden["t.faded.transform"]));
    let images = g.images(&golden["t.z"], 1.0, &Noise::None);
    assert!(difference(&images, &golden["t.faded"]) < TOLERANCE);
}

fn magnitudes(g: &Generator) -> BTreeMap<String, f64> {
    let buffers = g.parameters.buffers().filter(|(name, _)| name.ends_with("magnitude_ema"));
    buffers.map(|(name, tensor)| (name.to_owned(), tensor.double_value(&[]))).collect()
}

/// mmagic's averages move by 0.001 towards the batch's mean squares, ours by 1 - 0.5^(images / 20000): both are put back
/// in proportion, which determines the mean squares up to the rounding of 0.001 of a value near one.
#[test]
fn magnitudes_follow_the_batch_and_are_used() {
    let golden = load("stylegan3");
    for (name, _, _) in VARIANTS {
        let g = golden_generator(&golden, name, Precision::F32);
        let before = magnitudes(&g);
        let w = g.map(&golden[&format!("{name}.z")]);
        let styles = w.unsqueeze(1).expand([-1, g.style_count(), -1], false);
        let _ = g.synthesise(&styles, &Noise::None);
        assert_eq!(magnitudes(&g), before);
        let tracked = g.synthesise_and_track(&styles, &Noise::None, 3);
        let rate = 1.0 - 0.5f64.powf(3.0 / 20_000.0);
        for (key, after) in magnitudes(&g) {
            let theirs =
                golden[&format!("{name}.ema.{}", key.strip_prefix("synthesis.").unwrap())].double_value(&[]);
            let (ours, theirs) = ((after - before[&key]) / rate, (theirs - before[&key]) / 0.001);
            assert!(
                (ours - theirs).abs() < 0.02 * theirs.abs().max(0.1),
                "{name}.{key}: {ours} against {theirs}"
            );
        }
        // The new averages were used in the same pass, and are what an ordinary one uses.
        assert_eq!(g.synthesise(&styles, &Noise::None), tracked);
    }
}

#[test]
fn averages_used_while_tracking_equal_mmagic() {
    let golden = load("stylegan3");
    for (name, _, _) in VARIANTS {
        let g = golden_generator(&golden, name, Precision::F32);
        let mut values = below(&golden, &format!("{name}.g."));
        values.extend(
            below(&golden, &format!("{name}.ema.")).into_iter().map(|(k, v)| (format!("synthesis.{k}"), v)),
        );
        g.parameters.load(&values).unwrap();
        let images = g.images(&golden[&format!("{name}.z")], 1.0, &Noise::None);
        assert!(difference(&images, &golden[&format!("{name}.tracked")]) < TOLERANCE);
    }
}

#[test]
fn bf16_stays_near_f32() {
    let golden = load("stylegan3");
    for (name, _, _) in VARIANTS {
        let g = golden_generator(&golden, name, Precision::Bf16);
        let images = g.images(&golden[&format!("{name}.z")], 1.0, &Noise::None);
        assert_eq!(images.kind(), Kind::Float);
        // Eight bits of mantissa through seven layers: about a per cent of the largest value.
        let error = difference(&images, &golden[&format!("{name}.images")]);
        assert!(error < 0.02, "{name}: {error}");
    }
}

#[test]
fn filters_equal_scipy() {
    let golden = load("stylegan3");
    for index in 0..4 {
        let of = |key: &str| &golden[&format!("filter.{index}.{key}")];
        let design = |k: i64| of("design").double_value(&[k]);
        let filter =
            LowPass { taps: design(0) as usize, cutoff: design(1), width: design(2), rate: design(3) };
        let line = Tensor::from_slice(&filter.line());
        assert!(difference(&line, of("line")) < 1e-12);
        let taps = line.size()[0];
        let disc = Tensor::from_slice(&filter.disc()).view([taps, taps]);
        assert!(difference(&disc, of("disc")) < 1e-12);
    }
}

/// Counts of mmagic's networks, which `tools/golden/stylegan3.py` prints: `stylegan3-t` and `stylegan3-r` at 256x256,
/// and the network of the bench.
#[test]
fn parameter_counts_are_those_of_mmagic() {
    for (variant, resolution, planes, base, largest, expected) in [
        (Variant::Translation, 256, 3, 32768, 512, 28_472_133),
        (Variant::Rotation, 256, 3, 65536, 1024, 18_816_387),
        (Variant::Translation, 64, 5, 4096, 128, 3_177_453),
    ] {
        let config = StyleGan3Config {
            variant,
            resolution,
            planes,
            z_dim: 512,
            w_dim: 512,
            mapping_layers: 2,
            channel_base: base,
            channel_max: largest,
            layers: 14,
        };
        let g = Generator::new(&config, 0, Device::Cpu, Precision::F32);
        assert_eq!(g.parameters.count(), expected);
        assert_eq!((g.style_count(), g.noise_sides()), (16, vec![]));
    }
}

/// A generator with random weights whose images have a standard deviation of 0.5, as normalised ones do, and latents.
fn untrained(variant: Variant) -> (Generator, Tensor) {
    let config = StyleGan3Config { channel_max: 16, layers: 10, ..tiny(variant, 2048) };
    let g = Generator::new(&config, 1, Device::Cpu, Precision::F32);
    let mut z = vec![0f32; 4 * 6];
    random::rng(1, Stream::Test, 0).fill_normal(&mut z);
    let z = Tensor::from_slice(&z).view([4, 6]);
    tch::no_grad(|| {
        let deviation = g.images(&z, 1.0, &Noise::None).std(false).double_value(&[]);
        let (_, weight) =
            g.parameters.trainable().find(|(name, _)| *name == "synthesis.L10_32_3.weight").unwrap();
        let _ = weight.shallow_clone().g_mul_scalar_(0.5 / deviation);
    });
    (g, z)
}

/// An untrained network loses only what its filters let through: here 66 dB and more, but for rotations of T, whose
/// 3x3 convolutions do not turn with the picture (14 dB).
#[test]
fn pictures_follow_their_input() {
    let scores = |variant| {
        let (g, z) = untrained(variant);
        let placed = Placement { angle: 1.0, right: 0.2, down: 0.1 };
        g.synthesis.input.place(placed);
        let scores = [
            equivariance::translation(&g, &z, 5),
            equivariance::fractional_translation(&g, &z, 5),
            equivariance::rotation(&g, &z, 5),
        ];
        // The measurement leaves the user's transform alone.
        let rows = Tensor::from_slice(placed.inverse().as_flattened()).view([3, 3]).to_kind(Kind::Float);
        assert_eq!(g.synthesis.input.transform(), rows);
        scores
    };
    let (t, r) = (scores(Variant::Translation), scores(Variant::Rotation));
    println!("T: {t:.1?} dB, R: {r:.1?} dB");
    for [whole, fraction, _] in [t, r] {
        assert!(whole > 55.0 && fraction > 55.0, "T: {t:.1?} dB, R: {r:.1?} dB");
    }
    assert!(t[2] < 25.0 && r[2] > 55.0, "T: {t:.1?} dB, R: {r:.1?} dB");
}

use super::*;
use tch::Device;

const NEVER: Change = Change { probability: 0.0, low: 1.0, high: 1.0 };

fn nothing() -> AugmentationConfig {
    AugmentationConfig {
        on: true,
        mirror_probability: 0.0,
        rotation: NEVER,
        scaling: NEVER,
        noise: NEVER,
        blur: NEVER,
        low_resolution: NEVER,
        brightness: NEVER,
        contrast: NEVER,
        gamma: NEVER,
        inverted_gamma: NEVER,
    }
}

fn always(low: f64, high: f64) -> Change {
    Change { probability: 1.0, low, high }
}

/// Smooth images u8 `[n, 2, 16, 16]`.
fn images(n: i64) -> Tensor {
    tch::manual_seed(1);
    let coarse = Tensor::rand([n, 2, 4, 4], (Kind::Float, Device::Cpu)) * 255.0;
    coarse.upsample_bilinear2d([16, 16], false, None, None).to_kind(Kind::Uint8)
}

fn altered(config: &AugmentationConfig, images: &Tensor) -> Tensor {
    let n = images.size()[0] as usize;
    Augmentation::draw(config, 3, 0, n, 2).altered(images.to_kind(Kind::Float).copy())
}

fn assert_near(found: &Tensor, expected: &Tensor, tolerance: f64) {
    let difference = (found - expected).abs().max().double_value(&[]);
    assert!(difference <= tolerance, "differs by {difference}");
}

#[test]
fn no_change_changes_nothing() {
    let x = images(3).to_kind(Kind::Float);
    let labels = x.select(1, 0).gt(100).to_kind(Kind::Uint8);
    let nothing = Augmentation::draw(&nothing(), 3, 0, 3, 2);
    let (moved, moved_labels) = nothing.moved(&x, &labels);
    assert_eq!((moved, moved_labels), (x.shallow_clone(), labels));
    assert_eq!(nothing.altered(x.copy()), x);
}

#[test]
fn what_happens_to_an_image_does_not_depend_on_its_batch() {
    let config = AugmentationConfig {
        rotation: Change { probability: 0.5, low: -30.0, high: 30.0 },
        scaling: Change { probability: 0.5, low: 0.8, high: 1.2 },
        blur: Change { probability: 0.5, low: 0.5, high: 1.0 },
        gamma: Change { probability: 0.5, low: 0.7, high: 1.5 },
        mirror_probability: 0.5,
        ..nothing()
    };
    let x = images(6).to_kind(Kind::Float);
    let labels = x.select(1, 0).to_kind(Kind::Uint8);
    let (all, all_labels) = Augmentation::draw(&config, 3, 0, 6, 2).moved(&x, &labels);
    let part = Augmentation::draw(&config, 3, 4, 2, 2);
    let (last, last_labels) = part.moved(&x.narrow(0, 4, 2), &labels.narrow(0, 4, 2));
    assert_near(&last, &all.narrow(0, 4, 2), 1e-3);
    assert_eq!(last_labels, all_labels.narrow(0, 4, 2));
    let all = Augmentation::draw(&config, 3, 0, 6, 2).altered(x.copy());
    assert_near(&part.altered(x.narrow(0, 4, 2).copy()), &all.narrow(0, 4, 2), 1e-4);
    assert!((&all - &x).abs().max().double_value(&[]) > 1.0);
}

#[test]
fn images_and_classes_move_alike() {
    let config = AugmentationConfig { rotation: always(90.0, 90.0), mirror_probability: 1.0, ..nothing() };
    let x = images(2);
    let labels = x.select(1, 0);
    let (moved, moved_labels) =
        Augmentation::draw(&config, 3, 0, 2, 2).moved(&x.to_kind(Kind::Float), &labels);
    let moved = moved.round().to_kind(Kind::Uint8);
    assert_eq!(moved.select(1, 0), moved_labels);
    // A quarter turn and a reflection are a transposition, or one along the other diagonal.
    let transposed = x.transpose(2, 3);
    assert!(moved == transposed || moved == transposed.flip([2, 3]), "neither diagonal");
}

#[test]
fn larger_and_smaller_as_the_factors_say() {
    let bright = |x: &Tensor| x.gt(0).to_kind(Kind::Float).sum(Kind::Float).double_value(&[]);
    let x = Tensor::zeros([1, 2, 64, 64], (Kind::Uint8, Device::Cpu));
    let _ = x.narrow(2, 24, 16).narrow(3, 24, 16).fill_(200);
    let labels = x.select(1, 0).gt(0).to_kind(Kind::Uint8);
    for factor in [0.5, 2.0] {
        let config = AugmentationConfig { scaling: always(factor, factor), ..nothing() };
        // Background of -1, as a standardised image has it: what comes in from outside is background too.
        let standardised = x.to_kind(Kind::Float) / 100.0 - 1.0;
        let (moved_x, moved) = Augmentation::draw(&config, 3, 0, 1, 2).moved(&standardised, &labels);
        assert_eq!(bright(&moved), 256.0 * factor * factor);
        assert_eq!(moved_x.double_value(&[0, 0, 0, 0]), -1.0);
    }
}

#[test]
fn low_resolution_is_what_libtorch_computes() {
    let x = images(1);
    for share in [0.5, 0.6, 0.83] {
        let config = AugmentationConfig { low_resolution: always(share, share), ..nothing() };
        let coarse = (share * 16.0f64).round() as i64;
        let expected = x
            .to_kind(Kind::Float)
            .internal_upsample_nearest_exact2d([coarse, coarse], None, None)
            .upsample_bilinear2d([16, 16], false, None, None);
        assert_near(&altered(&config, &x), &expected, 1e-4);
    }
}

#[test]
fn blur_is_a_gaussian_with_the_border_repeated() {
    let x = images(1);
    let deviation = 0.9;
    let config = AugmentationConfig { blur: always(deviation, deviation), ..nothing() };
    let offsets = Tensor::arange_start(-4, 5, (Kind::Float, Device::Cpu));
    let weights = (offsets.square() / (-2.0 * deviation * deviation)).exp();
    let weights = &weights / weights.sum(Kind::Float);
    let kernel = weights.outer(&weights).view([1, 1, 9, 9]);
    let planes = x.to_kind(Kind::Float).view([2, 1, 16, 16]).replication_pad2d([4, 4, 4, 4]);
    let expected = planes.conv2d(&kernel, None::<&Tensor>, [1, 1], [0, 0], [1, 1], 1).view([1, 2, 16, 16]);
    assert_near(&altered(&config, &x), &expected, 1e-3);
}

#[test]
fn noise_has_the_deviation_asked_for_and_is_its_own_in_every_step() {
    let config = AugmentationConfig { noise: always(0.5, 0.5), ..nothing() };
    let x = Tensor::zeros([8, 2, 32, 32], (Kind::Float, Device::Cpu));
    let noise = |first| Augmentation::draw(&config, 3, first, 8, 2).altered(x.copy());
    let deviation = noise(0).std(true).double_value(&[]);
    assert!((deviation - 0.5).abs() < 0.01, "{deviation}");
    assert_eq!(noise(0), noise(0));
    assert_ne!(noise(0), noise(8));
}

#[test]
fn gamma_keeps_mean_and_deviation_and_contrast_the_range() {
    let x = images(2).to_kind(Kind::Float) / 100.0;
    let over: &[i64] = &[2, 3];
    let mean = |x: &Tensor| x.mean_dim(over, false, Kind::Float);
    for change in [
        AugmentationConfig { gamma: always(1.5, 1.5), ..nothing() },
        AugmentationConfig { inverted_gamma: always(1.5, 1.5), ..nothing() },
    ] {
        let bent = altered(&change, &x);
        assert_near(&mean(&bent), &mean(&x), 1e-5);
        assert_near(&bent.std_dim(over, true, false), &x.std_dim(over, true, false), 1e-4);
        assert!((bent - &x).abs().max().double_value(&[]) > 0.05);
    }
    let stretched = altered(&AugmentationConfig { contrast: always(3.0, 3.0), ..nothing() }, &x);
    assert_eq!(stretched.amax(over, false), x.amax(over, false));
    assert_eq!(stretched.amin(over, false), x.amin(over, false));
    let doubled = altered(&AugmentationConfig { brightness: always(2.0, 2.0), ..nothing() }, &x);
    assert_near(&doubled, &(&x * 2.0), 1e-6);
}

#[test]
fn unusable_values_are_named() {
    let bad = AugmentationConfig { blur: always(2.0, 1.0), ..nothing() };
    assert!(bad.validate().unwrap_err().to_string().contains("augmentation.blur"));
    let bad = AugmentationConfig { mirror_probability: f64::NAN, ..nothing() };
    assert!(bad.validate().unwrap_err().to_string().contains("mirror_probability"));
    let bad = AugmentationConfig { gamma: always(0.7, f64::INFINITY), ..nothing() };
    assert!(bad.validate().unwrap_err().to_string().contains("augmentation.gamma"));
}

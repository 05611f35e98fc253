//! Processes and samplers against other people's programs and against closed forms.

use serde::Deserialize;
use synthmr_core::random::{Draw, Stream, rng};
use synthmr_train::diffusion::{
    DdpmPrediction, EdmPrediction, FlowPrediction, KeyedNoise, Method, Noising, Process, SamplerConfig,
    Schedule, Variance,
};
use tch::{Device, Kind, Tensor};

/// Values made by `tools/golden/diffusion.py`.
#[derive(Deserialize)]
struct Golden {
    chains: Vec<Chain>,
    ancestral: Vec<Ancestral>,
    edm: Edm,
    flow: Vec<FlowStep>,
}

#[derive(Deserialize)]
struct Chain {
    schedule: Schedule,
    steps: u64,
    at: Vec<usize>,
    sigma: Vec<f64>,
}

#[derive(Deserialize)]
struct Ancestral {
    total: u64,
    variance: Variance,
    clip: bool,
    steps: Vec<AncestralStep>,
}

#[derive(Deserialize)]
struct AncestralStep {
    level: usize,
    next: usize,
    x: Vec<f64>,
    eps: Vec<f64>,
    mean: Vec<f64>,
    deviation: f64,
    ddim: Vec<f64>,
}

#[derive(Deserialize)]
struct Edm {
    sigmas: Vec<f64>,
    x: Vec<f64>,
    output: Vec<f64>,
    levels: Vec<EdmLevel>,
}

#[derive(Deserialize)]
struct EdmLevel {
    sigma: f64,
    input: Vec<f64>,
    denoised: Vec<f64>,
}

#[derive(Deserialize)]
struct FlowStep {
    time: f64,
    next: f64,
    z: Vec<f64>,
    velocity: Vec<f64>,
    after: Vec<f64>,
}

fn golden() -> Golden {
    serde_json::from_str(include_str!("../golden/diffusion.json")).unwrap()
}

fn tensor(values: &[f64]) -> Tensor {
    Tensor::from_slice(values)
}

fn difference(found: &Tensor, expected: &Tensor) -> f64 {
    (found - expected).abs().max().double_value(&[])
}

fn sampler(method: Method, steps: u64) -> SamplerConfig {
    SamplerConfig {
        method,
        steps,
        variance: Variance::Posterior,
        clip: 0.0,
        sigma_min: 0.002,
        sigma_max: 80.0,
        rho: 7.0,
    }
}

fn ddpm(schedule: Schedule, steps: u64, prediction: DdpmPrediction) -> Noising {
    Noising::new(&Process::Ddpm { schedule, steps, prediction, bound_weight: 0.0 })
}

fn edm(prediction: EdmPrediction) -> Noising {
    let (noise_mean, noise_deviation) = (-1.2, 1.2);
    Noising::new(&Process::Edm {
        prediction,
        sigma_data: 0.5,
        noise_mean,
        noise_deviation,
        weight_floor: 0.0,
    })
}

fn flow(prediction: FlowPrediction, weight_floor: f64) -> Noising {
    Noising::new(&Process::Flow { prediction, time_mean: 0.0, time_deviation: 1.0, weight_floor })
}

#[test]
fn noise_levels_are_those_of_guided_diffusion() {
    for Chain { schedule, steps, at, sigma } in golden().chains {
        let process = ddpm(schedule, steps, DdpmPrediction::Noise);
        let sigmas = process.sigmas();
        assert_eq!(sigmas.len() as u64, steps);
        for (step, expected) in at.into_iter().zip(sigma) {
            let error = (sigmas[step] / expected - 1.0).abs();
            assert!(error < 1e-9, "{schedule:?} {steps}, step {step}: {error:.1e}");
        }
    }
}

/// guided-diffusion works on images that shrink: its x is ours times sqrt(abar).
#[test]
fn ancestral_and_ddim_steps_are_those_of_guided_diffusion() {
    for Ancestral { total, variance, clip, steps } in golden().ancestral {
        let process = ddpm(Schedule::Linear, total, DdpmPrediction::Noise);
        let sigmas = process.sigmas();
        for AncestralStep { level, next, x, eps, mean, deviation, ddim } in steps {
            let (sigma, next) = (sigmas[level], sigmas[next]);
            let (scale, next_scale) = (sigma.hypot(1.0), next.hypot(1.0));
            let x = tensor(&x) * scale;
            let clip = if clip { 1.0 } else { 0.0 };
            let denoise = |x: &Tensor, sigma: f64| x - tensor(&eps) * sigma;
            let step = |method, noise: f64| {
                let sampler = SamplerConfig { clip, variance, ..sampler(method, 1) };
                sampler.step(process.process(), &x, sigma, next, || x.ones_like() * noise, denoise)
                    / next_scale
            };
            let without = step(Method::Ancestral, 0.0);
            // guided-diffusion computes in f32.
            assert!(difference(&without, &tensor(&mean)) < 1e-5);
            let added = step(Method::Ancestral, 1.0) - without;
            assert!(difference(&added, &(x.ones_like() * deviation)) < 1e-5);
            assert!(difference(&step(Method::Ddim, 0.0), &tensor(&ddim)) < 1e-5);
        }
    }
}

#[test]
fn levels_and_preconditioning_of_edm_are_those_of_diffusers() {
    let Edm { sigmas, x, output, levels } = golden().edm;
    let process = edm(EdmPrediction::Preconditioned);
    let found = sampler(Method::Heun, 18).levels(&process);
    assert_eq!(found.len(), sigmas.len());
    for (found, expected) in found.iter().zip(sigmas) {
        // diffusers keeps them in f32.
        assert!((found / expected - 1.0).abs() < 1e-5, "{found} against {expected}");
    }
    let (x, output) = (tensor(&x), tensor(&output));
    for EdmLevel { sigma, input, denoised } in levels {
        let c = process.coefficients(sigma);
        assert!(difference(&(&x * c.input), &tensor(&input)) < 1e-12);
        assert!(difference(&(&x * c.skip + &output * c.output), &tensor(&denoised)) < 1e-12);
    }
}

/// diffusers moves `z = (1 - t) x0 + t noise` along the network's velocity; its z is ours times 1 - t.
#[test]
fn steps_of_the_flow_are_those_of_diffusers() {
    let process = flow(FlowPrediction::Velocity, 0.0);
    for FlowStep { time, next, z, velocity, after } in golden().flow {
        let sigma = |time: f64| time / (1.0 - time);
        let denoise = |x: &Tensor, sigma: f64| {
            let c = process.coefficients(sigma);
            x * c.skip + tensor(&velocity) * c.output
        };
        let x = tensor(&z) / (1.0 - time);
        let found = sampler(Method::Ddim, 1).step(
            process.process(),
            &x,
            sigma(time),
            sigma(next),
            || x.zeros_like(),
            denoise,
        );
        assert!(difference(&(found * (1.0 - next)), &tensor(&after)) < 1e-6);
    }
}

/// Whatever a process predicts: an output that hits the target gives back the image.
#[test]
fn the_target_is_what_the_denoised_image_is_made_of() {
    let mut processes = vec![edm(EdmPrediction::Preconditioned), edm(EdmPrediction::Clean)];
    processes.extend([flow(FlowPrediction::Velocity, 0.0), flow(FlowPrediction::Clean, 0.05)]);
    for prediction in [DdpmPrediction::Noise, DdpmPrediction::Velocity, DdpmPrediction::Clean] {
        processes.push(ddpm(Schedule::Cosine, 100, prediction));
    }
    let (image, noise) = (0.3, -1.7);
    for process in processes {
        for sigma in [0.01, 0.5, 1.0, 7.0, 60.0] {
            let c = process.coefficients(sigma);
            let target = c.clean * image + c.noise * noise;
            let denoised = c.skip * (image + sigma * noise) + c.output * target;
            assert!((denoised - image).abs() < 1e-12, "{:?} at {sigma}", process.process());
            assert!(c.weight > 0.0 && c.weight.is_finite() && c.code.is_finite());
        }
    }
    // The published weight makes every level count alike: lambda * c_out^2 = 1.
    assert!((edm(EdmPrediction::Preconditioned).coefficients(3.0).weight - 1.0).abs() < 1e-12);
}

/// A flow's loss is the squared error of the velocity, whatever its network predicts: an error of the image is, at
/// the time t = sigma / (1 + sigma), an error of the velocity of 1 / t times its size.
#[test]
fn a_flow_weighs_errors_of_the_velocity() {
    let (velocity, clean) = (flow(FlowPrediction::Velocity, 0.3), flow(FlowPrediction::Clean, 0.3));
    for time in [0.01, 0.2, 0.5, 0.9f64] {
        let sigma = time / (1.0 - time);
        let (v, c) = (velocity.coefficients(sigma), clean.coefficients(sigma));
        // The same denoised image, off by 0.1, is off by so much in each network's output.
        let [v_loss, c_loss] = [v, c].map(|c| c.weight * (0.1 / c.output).powi(2));
        let expected = (0.1 / time.max(0.3)).powi(2);
        assert!(
            (v_loss - expected).abs() < 1e-9 && (c_loss - expected).abs() < 1e-9,
            "{time}: {v_loss} {c_loss}"
        );
    }
}

const MEAN: f64 = 0.4;
const DEVIATION: f64 = 0.25;

/// The best denoiser of images whose values are all normal with [`MEAN`] and [`DEVIATION`].
fn gaussian_denoiser(x: &Tensor, sigma: f64) -> Tensor {
    let variance = DEVIATION * DEVIATION;
    (x * variance + MEAN * sigma * sigma) / (variance + sigma * sigma)
}

fn drawn(sampler: &SamplerConfig, process: &Noising, noise: &mut KeyedNoise) -> Tensor {
    sampler.run(process, noise, &|| false, gaussian_denoiser).unwrap()
}

/// How far a run ends from the solution of the ordinary differential equation, which for a Gaussian is
/// `mean + (x - mean) * sqrt(s^2 + low^2) / sqrt(s^2 + high^2)` from one noise level to a lower one.
fn deterministic_error(method: Method, steps: u64, process: &Noising) -> f64 {
    let sampler = sampler(method, steps);
    let levels = sampler.levels(process);
    let mut noise = [0f32; 64];
    rng(4, Stream::SampleNoise, 0).fill_normal(&mut noise);
    let start = Tensor::from_slice(&noise).view([1, 1, 8, 8]) * levels[0];
    let (high, low) = (levels[0], levels[levels.len() - 1]);
    let before_last = (start - MEAN) * (DEVIATION.hypot(low) / DEVIATION.hypot(high)) + MEAN;
    let mut noise = KeyedNoise::new(4, 0..1, [1, 8, 8], Device::Cpu);
    difference(&drawn(&sampler, process, &mut noise), &gaussian_denoiser(&before_last, low))
}

#[test]
fn deterministic_samplers_approach_the_solution_for_a_gaussian_in_their_order() {
    for process in [
        edm(EdmPrediction::Preconditioned),
        flow(FlowPrediction::Velocity, 0.0),
        ddpm(Schedule::Linear, 100_000, DdpmPrediction::Noise),
    ] {
        for (method, order, most) in [(Method::Ddim, 1.0, 0.05), (Method::Heun, 2.0, 0.01)] {
            let errors = [16, 32, 64, 128].map(|steps| deterministic_error(method, steps, &process));
            assert!(errors[3] < most, "{:?} {method:?}: {errors:?}", process.process());
            let rate = (errors[1] / errors[3]).log2() / 2.0;
            assert!(
                (rate - order).abs() < 0.35,
                "{:?} {method:?} has order {rate}: {errors:?}",
                process.process()
            );
        }
    }
}

#[test]
fn a_run_that_is_stopped_draws_nothing() {
    let mut noise = KeyedNoise::new(4, 0..1, [1, 8, 8], Device::Cpu);
    let process = edm(EdmPrediction::Clean);
    assert!(sampler(Method::Heun, 3).run(&process, &mut noise, &|| true, gaussian_denoiser).is_none());
}

/// The variances of the posterior and of the forward step are bounds from below and above (Ho et al. 2020,
/// section 3.2), which meet as the steps become many.
#[test]
fn ancestral_samples_of_a_gaussian_have_its_moments_between_the_two_variances() {
    let process = ddpm(Schedule::Linear, 1000, DdpmPrediction::Noise);
    let deviation = |variance| {
        let sampler = SamplerConfig { variance, ..sampler(Method::Ancestral, 1000) };
        let mut noise = KeyedNoise::new(9, 0..16, [1, 32, 32], Device::Cpu);
        let values = drawn(&sampler, &process, &mut noise).to_kind(Kind::Double);
        // 16,384 values: five standard errors are 0.01 and 0.007.
        assert!((values.mean(Kind::Double).double_value(&[]) - MEAN).abs() < 0.01);
        values.std(true).double_value(&[])
    };
    let (low, high) = (deviation(Variance::Posterior), deviation(Variance::Forward));
    assert!(low < high && high - low < 0.02, "{low} {high}");
    assert!((low - DEVIATION).abs() < 0.012 && (high - DEVIATION).abs() < 0.012, "{low} {high}");
}

#[test]
fn noise_depends_on_the_image_number_alone() {
    let draw = |numbers| {
        let sampler = SamplerConfig { clip: 1.0, ..sampler(Method::Ancestral, 5) };
        let process = ddpm(Schedule::Cosine, 50, DdpmPrediction::Noise);
        let mut noise = KeyedNoise::new(2, numbers, [2, 4, 4], Device::Cpu);
        drawn(&sampler, &process, &mut noise)
    };
    let whole = draw(0..6);
    assert_eq!(draw(2..5), whole.narrow(0, 2, 3));
    assert_ne!(whole.get(0), whole.get(1));
}

#[test]
fn training_levels_have_the_stated_distribution() {
    let n = 20_000;
    let mut r = rng(1, Stream::Test, 1);
    let mut mean_log = |process: &Noising, log: fn(f64) -> f64| {
        (0..n).map(|_| log(process.draw_sigma(&mut r))).sum::<f64>() / f64::from(n)
    };
    // Five standard errors of deviations 1.2 and 1.
    assert!((mean_log(&edm(EdmPrediction::Clean), f64::ln) + 1.2).abs() < 0.043);
    assert!(mean_log(&flow(FlowPrediction::Clean, 0.05), f64::ln).abs() < 0.036);
    let process = ddpm(Schedule::Linear, 10, DdpmPrediction::Noise);
    let sigmas = process.sigmas();
    let mut seen = [0; 10];
    for _ in 0..1000 {
        let sigma = process.draw_sigma(&mut r);
        let step = sigmas.iter().position(|&level| level == sigma).unwrap();
        seen[step] += 1;
        assert!((process.coefficients(sigma).code - step as f64).abs() < 1e-9);
    }
    assert!(seen.iter().all(|&count| count > 50), "{seen:?}");
    // Between two steps the code is between theirs.
    let between = process.coefficients((sigmas[3] * sigmas[4]).sqrt()).code;
    assert!((between - 3.5).abs() < 1e-9);
}

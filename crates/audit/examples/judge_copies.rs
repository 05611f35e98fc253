//! What the learned embedding finds of planted copies, beside two correlations, as a table.
//!
//! `cargo run --release -p synthmr-audit --example judge_copies STORE FRESH_STORE PLANTED.safetensors [KEY=VALUE ...]`
//!
//! The embedding learns from the part `train` of STORE. A copy is found where its largest similarity to any training
//! slice exceeds that of 99 % of the slices of FRESH_STORE's part `control`, which are other subjects. PLANTED is made by
//! `tools/results/planted_copies.py`.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "an example that prints a table of its own files"
)]

use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use safetensors::SafeTensors;
use synthmr_audit::embedding::{Embedding, EmbeddingConfig, TrainingSlices};
use synthmr_core::Split;
use synthmr_data::store::SliceStore;
use tch::{Device, Kind, Tensor};

/// Share of fresh images that is flagged.
const FALSE_ALARMS: f64 = 0.01;
/// Grey levels above which a pixel is of the head.
const HEAD: f64 = 12.0;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut config = serde_json::to_value(EmbeddingConfig::default()).unwrap();
    let mut threads = 2;
    for setting in &arguments[3..] {
        let (key, value) = setting.split_once('=').unwrap();
        if key == "threads" {
            threads = value.parse().unwrap();
        } else {
            config[key] = serde_json::from_str(value).unwrap();
        }
    }
    let config: EmbeddingConfig = serde_json::from_value(config).unwrap();
    synthmr_nets::engine::set_threads(threads);
    let store = SliceStore::open(Path::new(&arguments[0])).unwrap();
    let fresh = SliceStore::open(Path::new(&arguments[1])).unwrap();
    let bytes = std::fs::read(&arguments[2]).unwrap();
    let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    let names: Vec<String> = serde_json::from_str(&metadata.metadata().as_ref().unwrap()["cells"]).unwrap();
    let planted = SafeTensors::deserialize(&bytes).unwrap();
    let integers = |name: &str| -> Vec<i64> {
        let view = planted.tensor(name).unwrap();
        view.data().as_chunks::<4>().0.iter().map(|word| i64::from(i32::from_le_bytes(*word))).collect()
    };
    let (cells, sources) = (integers("cell"), integers("source"));

    let begun = Instant::now();
    let slices = TrainingSlices::from_store(&store).unwrap();
    let mut progress = |_, _| ControlFlow::Continue(());
    let embedding = Embedding::train(&config, &slices, Device::Cpu, &mut progress).unwrap();
    let trained = begun.elapsed().as_secs_f64();

    let train = part(&store, Split::Train);
    let null = part(&fresh, Split::Control);
    let copies = planted.tensor("images").unwrap();
    let shape: [usize; 4] = copies.shape().try_into().unwrap();
    let copies = (copies.data().to_vec(), shape);
    let begun = Instant::now();
    let reference = embedding.embed(&train.0, train.1).unwrap();
    let learned = [&null, &copies].map(|(images, shape)| {
        let queries = embedding.embed_queries(images, *shape).unwrap();
        queries.matmul(&reference.tr()).amax([0i64].as_slice(), false)
    });
    let seconds = begun.elapsed().as_secs_f64();
    let plain = [&null, &copies].map(|images| pearson(images, &train));
    let masked = [&null, &copies].map(|images| masked_pearson(images, &train));

    let train_indices = store.indices(Split::Train);
    let subject_of = |i: i64| store.subject(i as usize);
    let subjects: Vec<i64> =
        train_indices.iter().map(|&i| subject_of(i64::from(i)).map_or(-1, i64::from)).collect();
    println!(
        "trained in {trained:.1} s, embedded {} images in {seconds:.1} s",
        null.1[0] + copies.1[0] + train.1[0]
    );
    let mut rows = Vec::new();
    for (name, similarities) in [("plain", &plain), ("masked", &masked), ("learned", &learned)] {
        let best = similarities.each_ref().map(|x| x.amax([1i64].as_slice(), false));
        let margin = similarities.each_ref().map(|x| margins(x, &subjects));
        rows.push(found(&format!("{name}, similarity"), &best));
        rows.push(found(&format!("{name}, margin"), &margin));
    }
    let at: Vec<i64> = learned[1].argmax(1, false).try_into().unwrap();
    let right: Vec<bool> = at
        .iter()
        .zip(&sources)
        .map(|(&at, &source)| subjects[at as usize] == subject_of(source).map_or(-1, i64::from))
        .collect();
    println!("\n| planted | plain | margin | masked | margin | learned | margin | right subject |");
    println!("|---|---|---|---|---|---|---|---|");
    rows.push(right);
    for (cell, name) in names.iter().enumerate() {
        let of_cell: Vec<usize> = (0..cells.len()).filter(|&i| cells[i] as usize == cell).collect();
        let share = |hits: &Vec<bool>| {
            let count = of_cell.iter().filter(|&&i| hits[i]).count();
            format!("{:.2}", count as f64 / of_cell.len() as f64)
        };
        println!("| {name} | {} |", rows.iter().map(share).collect::<Vec<_>>().join(" | "));
    }
}

/// Which of the second scores are beyond all but [`FALSE_ALARMS`] of the first.
fn found(name: &str, [null, copies]: &[Tensor; 2]) -> Vec<bool> {
    let threshold = null.quantile_scalar(1.0 - FALSE_ALARMS, None, false, "higher").double_value(&[]);
    let mean = |x: &Tensor| x.mean(Kind::Double).double_value(&[]);
    println!("{name}: null mean {:.3}, 99 % {threshold:.3}; copies mean {:.3}", mean(null), mean(copies));
    let scores: Vec<f32> = copies.try_into().unwrap();
    scores.iter().map(|&score| f64::from(score) > threshold).collect()
}

/// How far the nearest subject stands out `[queries]`: its similarity on Fisher's scale less the mean of those of the
/// subjects ranked third to eighth.
fn margins(similarity: &Tensor, subjects: &[i64]) -> Tensor {
    let mut distinct = subjects.to_vec();
    distinct.sort_unstable();
    distinct.dedup();
    let all = Tensor::from_slice(subjects);
    let best = distinct.iter().map(|&subject| {
        let others = all.not_equal(subject).unsqueeze(0);
        similarity.masked_fill(&others, -1.0).amax([1i64].as_slice(), false)
    });
    let best = Tensor::stack(&best.collect::<Vec<_>>(), 1).clamp(-0.99995, 0.99995).atanh();
    let (sorted, _) = best.sort(1, true);
    let level = sorted.narrow(1, 2, 6.min(distinct.len() as i64 - 2));
    sorted.select(1, 0) - level.mean_dim([1i64].as_slice(), false, Kind::Float)
}

/// All images of a part, u8 `[n, c, h, w]` in shape.
fn part(store: &SliceStore, split: Split) -> (Vec<u8>, [usize; 4]) {
    let indices = store.select(Some(split)).unwrap();
    let manifest = store.manifest();
    let mut images = vec![0; indices.len() * manifest.image_bytes()];
    let mut labels = vec![0; indices.len() * manifest.label_bytes()];
    store.gather(&indices, &mut images, &mut labels).unwrap();
    (images, [indices.len(), manifest.channels.len(), manifest.height, manifest.width])
}

/// f32 `[n, c, pixels]`.
fn pixels((images, [n, c, h, w]): &(Vec<u8>, [usize; 4])) -> Tensor {
    Tensor::from_slice(images).to_kind(Kind::Float).view([*n as i64, *c as i64, (h * w) as i64])
}

/// The study's measure: correlation of the first contrast over the whole image, `[queries, references]`.
fn pearson(queries: &(Vec<u8>, [usize; 4]), references: &(Vec<u8>, [usize; 4])) -> Tensor {
    let unit = |images: &(Vec<u8>, [usize; 4])| {
        let first = pixels(images).select(1, 0);
        let centred = &first - first.mean_dim([1i64].as_slice(), true, Kind::Float);
        &centred / centred.norm_scalaropt_dim(2.0, [1i64].as_slice(), true).clamp_min(1e-6)
    };
    unit(queries).matmul(&unit(references).tr())
}

/// Correlation over the reference's head, mean over contrasts, `[queries, references]`.
fn masked_pearson(queries: &(Vec<u8>, [usize; 4]), references: &(Vec<u8>, [usize; 4])) -> Tensor {
    let (x, y) = (pixels(queries) / 255.0, pixels(references) / 255.0);
    let mask = y.amax([1i64].as_slice(), false).gt(HEAD / 255.0).to_kind(Kind::Float);
    let count = mask.sum_dim_intlist([1i64].as_slice(), false, Kind::Float).clamp_min(1.0);
    let mut sum = Tensor::zeros([x.size()[0], y.size()[0]], (Kind::Float, Device::Cpu));
    for contrast in 0..x.size()[1] {
        let (x, y) = (x.select(1, contrast), y.select(1, contrast) * &mask);
        let mean = y.sum_dim_intlist([1i64].as_slice(), false, Kind::Float) / &count;
        let centred = (&y - mean.unsqueeze(1)) * &mask;
        let variance = centred.square().sum_dim_intlist([1i64].as_slice(), false, Kind::Float);
        let query_sum = x.matmul(&mask.tr());
        let query_variance = x.square().matmul(&mask.tr()) - query_sum.square() / &count;
        let product = x.matmul(&centred.tr());
        sum += product / (query_variance.clamp_min(1e-4) * variance.clamp_min(1e-4)).sqrt();
    }
    sum / x.size()[1] as f64
}

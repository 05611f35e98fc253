//! Weights from elsewhere: what is drawn from them, and what is refused.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::tensor::{Dtype, TensorView, serialize_to_file};
use synthmr_core::Split;
use synthmr_core::records::EngineRecord;
use synthmr_data::store::{SliceStore, StoreLayout};
use synthmr_train::adopt::{Adoption, adopt};
use synthmr_train::config;
use synthmr_train::generator::{DrawOptions, GeneratorConfig, PRESETS, image_source};
use synthmr_train::planes::Planes;
use synthmr_train::sampling::{SampleOptions, Sampler, Snapshot};
use tch::{Device, Kind, Tensor};

use crate::toy::{Folder, SIDE, ToyWatch, cohort};

fn configuration() -> GeneratorConfig {
    let sets = [
        "resolution=16",
        "network.z_dim=8",
        "network.w_dim=8",
        "network.channel_base=64",
        "network.channel_max=8",
    ];
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    config::resolve(PRESETS, Some("stylegan2-tiny-64"), None, &sets).unwrap()
}

fn layout() -> StoreLayout {
    let channels = ["T1", "T2"].map(str::to_owned).to_vec();
    StoreLayout { channels, height: SIDE, width: SIDE, labels: synthmr_core::LabelScheme::brats() }
}

fn write(path: &Path, tensors: &BTreeMap<String, Tensor>) {
    let bytes = |tensor: &Tensor| {
        let mut values = vec![0f32; tensor.numel()];
        tensor.copy_data(&mut values, tensor.numel());
        values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>()
    };
    let data: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, tensor)| {
            let shape = tensor.size().iter().map(|&side| side as usize).collect();
            (name.clone(), shape, bytes(tensor))
        })
        .collect();
    let views = data.iter().map(|(name, shape, bytes)| {
        (name.clone(), TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap())
    });
    serialize_to_file(views, None, path).unwrap();
}

fn run(weights: &Path, layout: StoreLayout, out: &Path) -> Result<(), synthmr_train::TrainError> {
    let engine =
        EngineRecord { libtorch: "test".into(), device: "cpu".into(), precision: "f32".into(), threads: 1 };
    let config = configuration();
    let adoption = Adoption { config: &config, layout, weights, name: "weights.safetensors", engine };
    adopt(&adoption, out, &mut ToyWatch::default())
}

#[test]
fn adopted_weights_draw_their_own_images_and_strangers_are_refused() {
    let folder = Folder::new();
    let store = folder.path("real.store");
    cohort(&store, 1, 9, &Split::ALL, ["T1", "T2"]);
    let config = GeneratorConfig { seed: 99, ..configuration() };
    let planes = Planes::new(2, &layout().labels, config.labels, Device::Cpu);
    let source = image_source(&config, &planes, Device::Cpu, synthmr_nets::engine::Precision::F32);
    let tensors: BTreeMap<String, Tensor> =
        source.parameters().all().map(|(name, tensor)| (name.to_owned(), tensor.detach())).collect();
    let weights = folder.path("weights.safetensors");
    write(&weights, &tensors);
    let out = folder.path("adopted");
    run(&weights, layout(), &out).unwrap();

    let sampler = Sampler::load(&[&out], Snapshot::Last, Device::Cpu).unwrap();
    assert!(sampler.notes().any(|note| note.contains("weights from elsewhere")));
    let options = SampleOptions { first: 0, count: 8, seed: 4, draw: DrawOptions::default() };
    let set = folder.path("set.store");
    let (_, record) = sampler.sample(options, &set, &mut ToyWatch::default()).unwrap();
    assert_eq!(record.generators[0].adopted.as_ref().unwrap().name, "weights.safetensors");
    let drawn = source.draw(4, 0..8, &DrawOptions::default(), &|| false).unwrap();
    let images = planes.decode(&drawn).images;
    let set = SliceStore::open(&set).unwrap();
    for i in 0..8 {
        let mut expected = vec![0u8; 2 * SIDE * SIDE];
        images.get(i as i64).copy_data(&mut expected, 2 * SIDE * SIDE);
        assert_eq!(set.image(i), expected, "image {i}");
    }

    let refused = |name: &str, tensors: &BTreeMap<String, Tensor>, layout: StoreLayout, words: &str| {
        let path = folder.path(&format!("{name}.safetensors"));
        write(&path, tensors);
        let out = folder.path(name);
        let message = run(&path, layout, &out).unwrap_err().to_string();
        assert!(message.contains(words) && !out.exists(), "{name}: {message}");
    };
    let copy = || -> BTreeMap<String, Tensor> {
        tensors.iter().map(|(name, tensor)| (name.clone(), tensor.shallow_clone())).collect()
    };
    let mut missing = copy();
    missing.remove("synthesis.b8.conv0.weight");
    refused("missing", &missing, layout(), "\"synthesis.b8.conv0.weight\" is missing");
    let mut more = copy();
    more.insert("synthesis.b8.resample_filter".into(), Tensor::ones([4, 4], (Kind::Float, Device::Cpu)));
    refused("more", &more, layout(), "not part of this network");
    let mut ruined = copy();
    let nan = Tensor::full([8], f64::NAN, (Kind::Float, Device::Cpu));
    ruined.insert("mapping.w_avg".into(), nan);
    refused("ruined", &ruined, layout(), "not finite");
    refused("larger", &copy(), StoreLayout { height: 32, width: 32, ..layout() }, "found 32x32");
    let text = folder.path("text.safetensors");
    std::fs::write(&text, "no tensors here").unwrap();
    let message = run(&text, layout(), &folder.path("text")).unwrap_err().to_string();
    assert!(message.contains("expected a safetensors file"), "{message}");
}

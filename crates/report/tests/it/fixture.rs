//! Records of a small study that was never run, with drawn pictures: enough to see and test every part of
//! the report without training anything.

use std::collections::BTreeMap;

use synthmr_core::records::{
    AttackRecord, AuditRecord, AuditSettings, Better, ComparisonRecord, ComparisonRow, ConditionRecord,
    ContactSheet, Detection, EmptyCounts, EngineRecord, EvaluationRecord, EvaluationSettings, FeatureRecord,
    GateRecord, GeneratorRecord, InputRecord, Interval, LabelQuality, MembershipRecord, MetricSummary,
    MetricValues, ModelKind, Origin, PatientRecord, PenalisedRecord, PreparationRecord, Proportion,
    RealismRecord, RealismResult, RealismSettings, RunRecord, SCHEMA, SamplingRecord, Scored,
    SensitivityRecord, ShardRecord, SplitMethod, SplitRecord, StoreManifest, SubjectRecord, SubjectResult,
    Tick, Tier, Tool,
};
use synthmr_core::{Digest, LabelEncoding, LabelScheme, Split, SubjectId};
use synthmr_report::{
    AuditInput, ComparisonInput, EvaluationInput, RealismInput, ReportInputs, RunInput, SheetInput,
    StoreInput,
};

const CHANNELS: [&str; 4] = ["T1", "T1ce", "T2", "FLAIR"];
const CELL: usize = 64;

/// A complete study.
pub(crate) fn study() -> ReportInputs {
    let mut real = store("ph.store", real_manifest());
    real.sheet = Some(sheet("4 slices of the part test", true, 1));
    let mut synthetic = store("syn.store", synthetic_manifest());
    synthetic.sheet = Some(sheet("4 images, seed 1", false, 7));
    ReportInputs {
        title: "Twelve phantom subjects at 64 x 64".into(),
        real: Some(real),
        synthetic: Some(synthetic),
        runs: vec![generator_run(), segmenter_run("seg-real", 0.79), segmenter_run("seg-syn", 0.66)],
        evaluations: vec![
            evaluation("synthetic", 0.655),
            evaluation("both", 0.802),
            evaluation("real", 0.781),
        ],
        comparisons: vec![comparison()],
        realism: vec![realism("synthetic")],
        audit: Some(audit()),
    }
}

fn store(name: &str, manifest: StoreManifest) -> StoreInput {
    StoreInput { name: name.into(), digest: digest(name), manifest, sheet: None }
}

fn membership() -> MembershipRecord {
    let detection =
        |needed, found| Detection { false_alarms: 1.0 / needed as f64, needed, negatives: 10, found };
    MembershipRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        model: input("gen", "", 458),
        members: input("ph.store", "train", 458),
        non_members: input("ph.store", "val,control", 130),
        member_subjects: 14,
        non_member_subjects: 10,
        slices_a_subject: None,
        seed: 0,
        level: 0.95,
        attacks: vec![AttackRecord {
            name: "loss".into(),
            score: "the loss of the <discriminator>".into(),
            auc: Interval { mean: Some(0.625), low: Some(0.4), high: Some(0.8), n: 24 },
            detections: vec![
                detection(10, Some(Proportion { k: 3, n: 14, share: 0.214, low: 0.05, high: 0.51 })),
                detection(100, None),
            ],
        }],
        warnings: vec!["10 subjects in a group".into()],
    }
}

/// An audit with a weak spot and an unmet gate.
fn audit() -> AuditInput {
    let share =
        |mean: f64| Interval { mean: Some(mean), low: Some(0.9 * mean), high: Some(1.1 * mean), n: 20 };
    let cell = |name: &str, tier, found| SensitivityRecord {
        name: name.into(),
        tier,
        n: 20,
        found,
        recall: share(found as f64 / 20.0),
        subject_right: found,
    };
    let gate = |name: &str, limit, found, met| GateRecord {
        name: name.into(),
        limit,
        found: Some(found),
        met,
        reason: "a reason".into(),
    };
    let record = AuditRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        real: input("ph.store", "", 700),
        split_digest: digest("split"),
        synthetic: input("syn.store", "", 256),
        settings: AuditSettings {
            false_alarm_rate: 0.01,
            discovery_rate: 0.01,
            threshold: 1.5,
            null_subjects: 12,
            null_images: 480,
            planted: 20,
            embedding: None,
            seed: 0,
            resamples: 4000,
            level: 0.95,
        },
        n: 256,
        flagged: 7,
        confirmed: 0,
        control_n: 90,
        control_flagged: 1,
        control_subjects: 2,
        false_alarms: share(0.011),
        strata: Vec::new(),
        excess: share(0.016),
        estimated_share: share(0.0175),
        held_out_copies: 0,
        duplicates: 3,
        sensitivity: vec![
            cell("unchanged", Tier::Slight, 20),
            cell("noise of <10> %", Tier::Strong, 9),
            cell("annotation only", Tier::Partial, 19),
        ],
        dose_response: Vec::new(),
        patients: PatientRecord {
            train_n: 14,
            train_copied: 0,
            train_rate: share(0.0),
            control_n: 10,
            control_copied: 0,
            control_rate: share(0.0),
        },
        plain: Vec::new(),
        measures: Vec::new(),
        membership: vec![membership()],
        gates: vec![
            gate("control subjects, at least", 3.0, 2.0, false),
            gate("confirmed copies, at most", 0.0, 0.0, true),
        ],
        unresolved: vec!["control subjects".into()],
        warnings: vec!["few control subjects".into()],
        verdict: "This audit cannot decide.".into(),
        passed: false,
    };
    AuditInput { name: "audit.json".into(), record }
}

/// A measurement in which one number is at its floor and one is not.
pub(crate) fn realism(name: &str) -> RealismInput {
    let result = |metric: &str, channel: &str, value: f64, floor: f64| RealismResult {
        metric: metric.into(),
        features: "random-conv".into(),
        channel: channel.into(),
        n_real: 500,
        n_synthetic: 1000,
        value: Some(value),
        low: Some(0.9 * value),
        high: Some(1.1 * value),
        floor: Some(floor),
        floor_low: Some(0.8 * floor),
        floor_high: Some(1.2 * floor),
        matched: Some(1.05 * value),
        held_out: None,
        deviation: None,
        better: Better::Lower,
        rank_deficient: false,
    };
    let record = RealismRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        real: input("ph.store", "train", 500),
        synthetic: input("syn.store", "", 1000),
        held_out: None,
        real_subjects: 7,
        channels: channels(),
        features: FeatureRecord {
            name: "random-conv".into(),
            digest: digest("random-conv"),
            dims: 640,
            protocol: "each contrast by itself".into(),
        },
        settings: RealismSettings {
            draws: 100,
            seed: 0,
            level: 0.95,
            nearest: 5,
            kernel_subsets: 100,
            kernel_images: 250,
            score_splits: 10,
            interval_rule: "halves".into(),
            floor_rule: "other halves".into(),
        },
        results: vec![
            result("frechet", "joint", 3.25, 0.5),
            result("frechet", "T1", 7.125, 0.5),
            RealismResult { better: Better::Floor, ..result("inception_score", "T1", 1.75, 1.5) },
            result("power_spectrum", "mean", 0.25, 0.25),
        ],
        warnings: vec!["7 real subjects <few>".into()],
    };
    RealismInput { name: Some(name.into()), file: format!("{name}.json"), record }
}

fn digest(name: &str) -> Digest {
    Digest::of(name.as_bytes())
}

fn input(name: &str, split: &str, images: usize) -> InputRecord {
    InputRecord { name: name.into(), digest: digest(name), split: split.into(), weight: None, images }
}

fn generator(name: &str, images: usize) -> GeneratorRecord {
    let class_share = [("background", 0.95), ("NCR", 0.01), ("ED", 0.03), ("ET", 0.01)];
    GeneratorRecord {
        name: name.into(),
        digest: digest(name),
        images,
        sampler: Some("heun, 18 steps".into()),
        snapshot: None,
        trained_on: vec![input("brats.store", "train", 500)],
        adopted: None,
        training_labels: Some(LabelQuality {
            unclean_share: 0.0,
            empty_share: 0.25,
            class_share: class_share.map(|(name, share)| (name.to_owned(), share)).into(),
        }),
    }
}

fn channels() -> Vec<String> {
    CHANNELS.iter().map(|name| (*name).to_owned()).collect()
}

fn subjects() -> Vec<SubjectRecord> {
    let parts = [(Split::Train, 7), (Split::Val, 1), (Split::Control, 1), (Split::Test, 3)];
    let parts = parts.iter().flat_map(|(split, n)| std::iter::repeat_n(*split, *n));
    parts
        .enumerate()
        .map(|(index, split)| SubjectRecord {
            pseudonym: SubjectId::new(format!("phantom-{index:03}")).unwrap().pseudonym(7),
            split,
            slices: 61 + (index * 7) % 12,
            spacing_mm: [3.75, 3.75, 1.0],
        })
        .collect()
}

/// The cohort's manifest.
fn real_manifest() -> StoreManifest {
    let subjects = subjects();
    let slices = subjects.iter().map(|subject| subject.slices).sum();
    StoreManifest {
        schema: SCHEMA,
        tool: Tool::this(),
        channels: channels(),
        height: CELL,
        width: CELL,
        slices,
        labels: LabelScheme::brats(),
        origin: Origin::Cohort {
            preparation: PreparationRecord {
                recipe: "robust".into(),
                steps: vec![
                    "each volume divided by its 99.5th percentile inside the brain, times 255, cut at 255"
                        .into(),
                    "zero-padded 240 -> 256".into(),
                    "axial slices kept when more than 15 % of the T1 pixels are brain".into(),
                    "resampled 256 -> 64: area filter for images, majority for labels".into(),
                ],
            },
            split: SplitRecord {
                method: SplitMethod::HashRank,
                request: "train=0.6,val=0.1,control=0.1,test=0.2".into(),
                digest: digest("split"),
            },
            subjects,
        },
        shards: vec![ShardRecord { file: "shard-00000.safetensors".into(), slices, digest: digest("shard") }],
    }
}

fn synthetic_manifest() -> StoreManifest {
    let share = [("background", 0.952), ("NCR", 0.0071), ("ED", 0.0302), ("ET", 0.0107)];
    StoreManifest {
        slices: 100_000,
        origin: Origin::Sampled(Box::new(SamplingRecord {
            generators: vec![generator("gen", 100_000)],
            block: 8,
            seed: 1,
            truncation: 1.0,
            label_encoding: LabelEncoding::Gray,
            label_quality: LabelQuality {
                unclean_share: 0.0042,
                empty_share: 0.31,
                class_share: share.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect(),
            },
        })),
        shards: (0..13)
            .map(|i| ShardRecord {
                file: format!("shard-{i:05}.safetensors"),
                slices: 8192.min(100_000 - 8192 * i),
                digest: digest(&format!("synthetic {i}")),
            })
            .collect(),
        ..real_manifest()
    }
}

fn engine() -> EngineRecord {
    EngineRecord { libtorch: "2.11.0".into(), device: "cpu".into(), precision: "bf16".into(), threads: 2 }
}

/// A number in 0..1 that looks random and is the same every time.
fn noise(index: usize) -> f64 {
    let mixed = (index as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15);
    ((mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9) >> 40) as f64 / f64::from(1 << 24)
}

fn generator_run() -> RunInput {
    let ticks = (0..2500usize).map(|i| {
        let t = i as f64 / 2500.0;
        let values = [
            ("loss_generator", if i == 700 { f64::NAN } else { 0.7 + 1.1 * t + 0.5 * noise(i) }),
            ("loss_discriminator", 1.39 - 0.5 * t + 0.3 * noise(i + 9999)),
            ("r1_penalty", 0.004 + 6.0 * (-9.0 * t).exp() * (0.4 + noise(i + 77))),
            ("path_length_penalty", 0.03 * (1.0 + noise(i + 31)) * (1.0 - 0.8 * t)),
            ("augment_strength", (0.6 * t - 0.05 + 0.01 * noise(i)).max(0.0)),
            ("images_per_second", if i % 400 == 399 { 31.0 } else { 58.0 + 4.0 * noise(i + 5) }),
        ];
        tick((i as u64 + 1) * 800, &values)
    });
    let config = serde_json::json!({
        "preset": "stylegan2-tiny-64", "seed": 7, "kimg": 2000, "batch": 32, "resolution": 64,
        "labels": "gray", "latent": 128, "mapping_layers": 4, "channel_base": 4096, "channel_max": 128,
        "generator": {"learning_rate": 0.002, "betas": [0.0, 0.99], "path_weight": 2.0, "path_interval": 4},
        "discriminator": {"learning_rate": 0.002, "r1_gamma": 1.0, "r1_interval": 16, "group": 4},
        "ema_half_life_kimg": 10.0, "style_mixing": 0.9, "ada": {"on": true, "target": 0.6, "speed_kimg": 500},
        "truncation": null
    });
    RunInput {
        name: "gen".into(),
        record: run_record(ModelKind::Generator, config, input("ph.store", "train", 458)),
        ticks: ticks.collect(),
        samples: Some(picture(8, 5, 40)),
    }
}

fn segmenter_run(name: &str, reached: f64) -> RunInput {
    let source =
        if name == "seg-real" { input("ph.store", "train", 458) } else { input("syn.store", "", 256) };
    let ticks = (0..25usize).map(|i| {
        let t = (i as f64 + 1.0) / 25.0;
        let dice = |scale: f64| reached * scale * (1.0 - (-5.0 * t).exp()) + 0.02 * noise(i);
        let values = [
            ("loss", 1.6 * (-3.0 * t).exp() + 0.2 + 0.05 * noise(i)),
            ("val/dice/NCR", dice(0.86)),
            ("val/dice/ED", dice(1.03)),
            ("val/dice/ET", dice(1.08)),
            ("val/dice/mean", dice(1.0)),
            ("learning_rate", 0.02 * (1.0 - t).max(1e-5).powf(0.9)),
            ("images_per_second", 120.0 + 9.0 * noise(i + 3)),
        ];
        tick((i as u64 + 1) * 160, &values)
    });
    let config = serde_json::json!({
        "preset": "unet-tiny-64", "seed": 1, "kimg": 4, "batch": 16, "padding": "same",
        "filters": [16, 32, 64, 128], "deep_supervision": [1.0, 0.5, 0.25], "optimiser": "sgd",
        "learning_rate": 0.02, "momentum": 0.99, "weight_decay": 3e-5, "poly_power": 0.9, "gradient_norm": 12.0,
        "augmentation": {"rotation_degrees": 30, "scale": [0.9, 1.1], "noise": true}
    });
    RunInput {
        name: name.into(),
        record: run_record(ModelKind::Segmenter, config, source),
        ticks: ticks.collect(),
        samples: None,
    }
}

fn run_record(kind: ModelKind, config: serde_json::Value, source: InputRecord) -> RunRecord {
    RunRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        kind,
        config,
        inputs: vec![source],
        adopted: None,
        channels: channels(),
        labels: LabelScheme::brats(),
        training_labels: None,
        engine: engine(),
    }
}

fn tick(images_seen: u64, values: &[(&str, f64)]) -> Tick {
    Tick { images_seen, values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect() }
}

/// An evaluation whose mean Dice is `level`.
fn evaluation(condition: &str, level: f64) -> EvaluationInput {
    let interval = |mean: f64, half: f64| Interval {
        mean: Some(mean),
        low: Some((mean - half).max(0.0)),
        high: Some(mean + 0.8 * half),
        n: 3,
    };
    let summary = |scale: f64| MetricSummary {
        dice: interval(level * scale, 0.05),
        precision: interval(level * scale + 0.03, 0.04),
        recall: interval(level * scale - 0.04, 0.06),
        hd: interval(19.0 - 10.0 * level * scale, 3.0),
        hd95: interval(14.0 - 10.0 * level * scale, 2.5),
        assd: interval(3.0 - 2.0 * level * scale, 0.4),
        lesion_dice: interval(level * scale - 0.1, 0.07),
        empty: EmptyCounts { both: 0, truth_only: usize::from(scale > 1.05), prediction_only: 0 },
    };
    let named = |pairs: &[(&str, f64)]| -> BTreeMap<String, MetricSummary> {
        pairs.iter().map(|(name, scale)| ((*name).to_owned(), summary(*scale))).collect()
    };
    let trained_on = match condition {
        "real" => vec![input("ph.store", "train", 458)],
        "synthetic" => vec![input("syn.store", "", 256)],
        _ => vec![input("ph.store", "train", 458), input("syn.store", "", 256)],
    };
    let subjects = subjects().into_iter().filter(|subject| subject.split == Split::Test);
    let values = |voxels: u64| MetricValues { truth_voxels: voxels, dice: Some(level), ..Default::default() };
    let record = EvaluationRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        models: vec![input(&format!("seg-{condition}"), "", 4000)],
        trained_on,
        data: input("ph.store", "test", 201),
        split_digest: digest("split"),
        settings: EvaluationSettings {
            mirrored: false,
            empty_rule: "absent in truth and prediction: no value; absent in truth only: Dice 0".into(),
            hd95_rule: "95th percentile of the distances of both surfaces together, in 3-D".into(),
            resamples: 1000,
            seed: 1,
            level: 0.95,
        },
        classes: named(&[("NCR", 0.86), ("ED", 1.03), ("ET", 1.08)]),
        regions: named(&[("WT", 1.12), ("TC", 1.02), ("ET", 1.08)]),
        mean: summary(1.0),
        penalised: PenalisedRecord {
            rule: "absent in truth and prediction: Dice 1, distances 0".into(),
            classes: named(&[("NCR", 0.86), ("ED", 1.03), ("ET", 0.9)]),
            regions: named(&[("WT", 1.12), ("TC", 1.02), ("ET", 0.9)]),
            mean: summary(0.95),
        },
        subjects: subjects
            .map(|subject| SubjectResult {
                subject: subject.pseudonym,
                slices: subject.slices,
                diagonal_mm: 373.1,
                classes: [("NCR", 1450), ("ED", 6020), ("ET", 2210)]
                    .iter()
                    .map(|(name, voxels)| ((*name).to_owned(), values(*voxels)))
                    .collect(),
                regions: BTreeMap::new(),
            })
            .collect(),
    };
    EvaluationInput { condition: condition.into(), record }
}

/// Synthetic and both beside real, with one row whose interval is missing.
fn comparison() -> ComparisonInput {
    let interval = |mean: f64, half: f64| Interval {
        mean: Some(mean),
        low: Some(mean - half),
        high: Some(mean + half),
        n: 12,
    };
    let row = |condition: &str, scored: Scored, name: &str, value: f64| ComparisonRow {
        condition: condition.into(),
        scored,
        name: name.into(),
        reference: interval(0.78, 0.05),
        value: interval(value, 0.06),
        difference: interval(value - 0.78, 0.03),
        ratio: Interval { low: None, high: None, ..interval(value / 0.78, 0.0) },
        p_value: Some(0.0004),
        p_holm: (scored != Scored::Region).then_some(0.0312),
    };
    let condition =
        |name: &str| ConditionRecord { name: name.into(), models: vec![vec![input(name, "", 4000)]] };
    let evaluation = evaluation("real", 0.781).record;
    let record = ComparisonRecord {
        schema: SCHEMA,
        tool: Tool::this(),
        metric: "dice".into(),
        data: vec![evaluation.data],
        settings: evaluation.settings,
        reference: condition("real"),
        conditions: vec![condition("synthetic"), condition("both")],
        rows: vec![
            row("synthetic", Scored::Mean, "mean", 0.655),
            row("synthetic", Scored::Region, "WT", 0.7),
            row("both", Scored::Mean, "mean", 0.802),
        ],
        warnings: vec!["few seeds of <real> (1)".into()],
    };
    ComparisonInput { name: "compare.json".into(), record }
}

fn sheet(title: &str, inside: bool, seed: usize) -> SheetInput {
    let rows = 4;
    let record = ContactSheet {
        schema: SCHEMA,
        title: title.into(),
        inside,
        columns: CHANNELS.iter().copied().chain(["annotation"]).map(str::to_owned).collect(),
        rows,
        cell_height: CELL,
        cell_width: CELL,
        png: "sheet.png".into(),
    };
    SheetInput { record, png: picture(rows, CHANNELS.len() + 1, seed) }
}

/// Ovals with a bright spot, a different grey a column; in the last column the spot in the classes' colours.
pub(crate) fn picture(rows: usize, columns: usize, seed: usize) -> Vec<u8> {
    let (width, height) = (columns * CELL, rows * CELL);
    let classes = LabelScheme::brats().classes;
    let mut pixels = vec![0u8; width * height * 3];
    for (index, pixel) in pixels.chunks_exact_mut(3).enumerate() {
        let (x, y) = (index % width, index / width);
        let (row, column) = (y / CELL, x / CELL);
        let random = |k: usize| noise(seed * 100 + row * 10 + k);
        let centred = |v: usize| (v % CELL) as f64 / (CELL as f64 / 2.0) - 1.0;
        let (u, v) = (centred(x), centred(y));
        let brain = (u / (0.66 + 0.06 * random(0))).powi(2) + (v / 0.86).powi(2);
        let spot = ((u - 0.5 * random(1) + 0.25).powi(2) + (v - 0.6 * random(2) + 0.3).powi(2)).sqrt();
        let class =
            if brain > 1.0 { 0 } else { [2.6, 3.6, 6.0].iter().filter(|k| spot * 15.0 < **k).count() };
        let colour = if column + 1 == columns {
            classes[[0, 2, 3, 1][class]].rgb
        } else if brain > 1.0 {
            [0; 3]
        } else {
            let folds = 18.0 * (7.0 * u + 3.0 * random(3)).sin() * (8.0 * v).cos();
            let tissue = 70.0 + 22.0 * column as f64 + folds - 30.0 * brain + 14.0 * noise(index);
            [(tissue + 28.0 * class as f64 * (column as f64 - 0.6)).clamp(0.0, 255.0) as u8; 3]
        };
        pixel.copy_from_slice(&colour);
    }
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.write_header().unwrap().write_image_data(&pixels).unwrap();
    bytes
}

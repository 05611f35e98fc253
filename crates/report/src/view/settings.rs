//! Every choice behind the numbers, for whoever wants to repeat them.

use serde_json::Value;
use synthmr_core::Digest;
use synthmr_core::records::{
    EvaluationRecord, GeneratorRecord, InputRecord, Origin, RunRecord, StoreManifest, Tool,
};

use super::training::source;
use crate::format;
use crate::inputs::ReportInputs;

/// A name with its value.
pub(crate) type Pair = (String, String);

/// A step of the chain with all its values.
#[derive(Clone, Debug)]
pub(crate) struct StepView {
    pub(crate) heading: String,
    pub(crate) facts: Vec<Pair>,
    /// The resolved configuration, nested names joined by dots.
    pub(crate) config: Vec<Pair>,
}

/// The settings of everything that the report was given.
#[derive(Clone, Debug)]
pub(crate) struct SettingsView {
    pub(crate) steps: Vec<StepView>,
}

impl SettingsView {
    pub(crate) fn new(inputs: &ReportInputs) -> Self {
        let mut steps = Vec::new();
        for store in [&inputs.real, &inputs.synthetic].into_iter().flatten() {
            let heading = format!("Store {}", store.name);
            steps.push(StepView { heading, facts: store_facts(&store.manifest), config: vec![] });
        }
        for run in &inputs.runs {
            let mut config = Vec::new();
            flatten(&mut config, String::new(), &run.record.config);
            steps.push(StepView {
                heading: format!("Run {}", run.name),
                facts: run_facts(&run.record),
                config,
            });
        }
        for evaluation in super::compare::ordered(inputs) {
            let heading = format!("Evaluation \u{201c}{}\u{201d}", evaluation.condition);
            steps.push(StepView { heading, facts: evaluation_facts(&evaluation.record), config: vec![] });
        }
        Self { steps }
    }
}

fn pair(name: &str, value: impl Into<String>) -> Pair {
    (name.to_owned(), value.into())
}

fn tool(tool: &Tool) -> Pair {
    pair("written by", format!("{} {}", tool.name, tool.version))
}

fn input(name: &str, input: &InputRecord) -> Pair {
    let images = format::counted(input.images, "image");
    pair(name, format!("{}, {images}, digest {}", source(input), input.digest.short()))
}

/// A generator of a synthetic set, and what it was trained on.
fn generator(generator: &GeneratorRecord) -> Vec<Pair> {
    let GeneratorRecord { name, digest, images, sampler, snapshot, trained_on, adopted, .. } = generator;
    let snapshot =
        snapshot.as_ref().map_or_else(String::new, |snapshot| format!(", its {snapshot} snapshot"));
    let sampler = sampler.as_ref().map_or_else(String::new, |sampler| format!(", {sampler}"));
    let images = format::counted(*images, "image");
    let mut facts =
        vec![pair("drawn from", format!("{name}, {images}{snapshot}{sampler}, digest {}", digest.short()))];
    facts.extend(adopted.iter().map(|weights| {
        let words = format!("{}, digest {}: not known here", weights.name, weights.digest.short());
        pair(&format!("what {name}'s weights were trained on"), words)
    }));
    facts.extend(trained_on.iter().map(|store| input(&format!("{name} was trained on"), store)));
    facts
}

fn store_facts(manifest: &StoreManifest) -> Vec<Pair> {
    let mut facts = vec![
        tool(&manifest.tool),
        pair("schema", manifest.schema.to_string()),
        pair("channels", manifest.channels.join(", ")),
        pair(
            "slices",
            format!("{} of {} x {}", format::count(manifest.slices), manifest.height, manifest.width),
        ),
        pair("shards", shards(manifest.shards.iter().map(|shard| &shard.digest).collect())),
    ];
    match &manifest.origin {
        Origin::Cohort { preparation, split, .. } => {
            facts.push(pair("recipe", preparation.recipe.clone()));
            facts.push(pair("split", format!("{}, digest {}", split.request, split.digest.short())));
        }
        Origin::Sampled(sampling) => {
            facts.extend(sampling.generators.iter().flat_map(generator));
            facts.push(pair("seed", sampling.seed.to_string()));
            facts.push(pair("truncation", sampling.truncation.to_string()));
        }
    }
    facts
}

/// The digests of a store's shards; a large store has hundreds, whose list helps nobody on paper.
fn shards(digests: Vec<&Digest>) -> String {
    const SHOWN: usize = 3;
    let shown: Vec<&str> = digests.iter().take(SHOWN).map(|digest| digest.short()).collect();
    let more = match digests.len().saturating_sub(SHOWN) {
        0 => String::new(),
        n => format!(" and {} more in manifest.json", format::count(n)),
    };
    format!("{}; digests {}{more}", format::count(digests.len()), shown.join(", "))
}

fn run_facts(run: &RunRecord) -> Vec<Pair> {
    let engine = &run.engine;
    let mut facts = vec![
        tool(&run.tool),
        pair(
            "engine",
            format!(
                "libtorch {}, {}, {}, {}",
                engine.libtorch,
                engine.device,
                engine.precision,
                format::counted(engine.threads, "thread")
            ),
        ),
        pair("channels", run.channels.join(", ")),
        pair("classes", run.labels.class_names().join(", ")),
    ];
    facts.extend(run.inputs.iter().map(|source| input("learns from", source)));
    facts
}

fn evaluation_facts(record: &EvaluationRecord) -> Vec<Pair> {
    let settings = &record.settings;
    let mut facts = vec![tool(&record.tool)];
    facts.extend(record.models.iter().map(|model| input("model", model)));
    facts.extend(record.trained_on.iter().map(|source| input("trained on", source)));
    facts.extend([
        input("tested on", &record.data),
        pair("split digest", record.split_digest.short()),
        pair("empty masks", settings.empty_rule.clone()),
        pair("HD95", settings.hd95_rule.clone()),
        pair(
            "intervals",
            format!(
                "{} level, {} of subjects, seed {}",
                format::percent(settings.level),
                format::counted(settings.resamples, "resample"),
                settings.seed
            ),
        ),
    ]);
    facts
}

/// Nested values under names joined by dots; a list of plain values stays on one line.
fn flatten(pairs: &mut Vec<Pair>, name: String, value: &Value) {
    let below = |key: &str| if name.is_empty() { key.to_owned() } else { format!("{name}.{key}") };
    match value {
        Value::Object(map) if !map.is_empty() => {
            map.iter().for_each(|(key, value)| flatten(pairs, below(key), value));
        }
        Value::Array(list) if list.iter().any(|value| value.is_object() || value.is_array()) => {
            list.iter().enumerate().for_each(|(i, value)| flatten(pairs, below(&i.to_string()), value));
        }
        Value::Array(list) => {
            let items: Vec<String> = list.iter().map(plain).collect();
            pairs.push((name, items.join(", ")));
        }
        value => pairs.push((name, plain(value))),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "not set".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_of_a_config_is_listed_once() {
        let config = serde_json::json!({
            "preset": "x", "ada": {"target": 0.6, "on": true}, "widths": [8, 16], "stages": [{"lr": 1e-4}],
            "limit": null, "none": {}
        });
        let mut pairs = Vec::new();
        flatten(&mut pairs, String::new(), &config);
        let expected = [
            ("preset", "x"),
            ("ada.target", "0.6"),
            ("ada.on", "true"),
            ("widths", "8, 16"),
            ("stages.0.lr", "0.0001"),
            ("limit", "not set"),
            ("none", "{}"),
        ];
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        assert_eq!(pairs, expected);
    }

    #[test]
    fn long_lists_of_shards_are_counted() {
        let digests: Vec<Digest> = (0..5u8).map(|i| Digest::of(&[i])).collect();
        let text = shards(digests.iter().collect());
        assert!(text.starts_with("5; ") && text.contains("2 more"), "{text}");
    }
}

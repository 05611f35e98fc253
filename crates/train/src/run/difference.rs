//! What differs between the run that is there and the run that is asked for.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use synthmr_core::records::{InputRecord, RunRecord};

/// One line for every setting that decides what is computed, `key: was -> is`. Names of input folders do
/// not count, their content does; neither does the program's version.
pub(super) fn between(was: &RunRecord, is: &RunRecord) -> Vec<String> {
    let (was, is) = (settings(was), settings(is));
    let mut keys: Vec<&String> = was.keys().chain(is.keys().filter(|key| !was.contains_key(*key))).collect();
    keys.sort();
    let absent = || "none".to_owned();
    keys.into_iter()
        .filter(|key| was.get(*key) != is.get(*key))
        .map(|key| {
            let show = |side: &BTreeMap<String, String>| side.get(key).cloned().unwrap_or_else(absent);
            format!("{key}: {} -> {}", show(&was), show(&is))
        })
        .collect()
}

/// The lines for a message, each indented.
pub(super) fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("  {line}")).collect::<Vec<_>>().join("\n")
}

/// Every setting by its dotted key, as text.
fn settings(record: &RunRecord) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    flatten("kind", &json(&record.kind), &mut out);
    flatten("config", &record.config, &mut out);
    flatten("channels", &json(&record.channels), &mut out);
    flatten("labels", &json(&record.labels), &mut out);
    flatten("engine", &json(&record.engine), &mut out);
    for (i, InputRecord { digest, split, weight, images, .. }) in record.inputs.iter().enumerate() {
        let part = if split.is_empty() { "all" } else { split };
        let weight = weight.map_or_else(String::new, |weight| format!(" with the weight {weight}"));
        out.insert(
            format!("data {}", i + 1),
            format!("{images} images of {part}{weight}, digest {}", digest.short()),
        );
    }
    out
}

fn json(value: &impl Serialize) -> Value {
    serde_json::to_value(value).unwrap_or(Value::Null)
}

fn flatten(key: &str, value: &Value, out: &mut BTreeMap<String, String>) {
    match value {
        Value::Object(fields) => {
            fields.iter().for_each(|(name, value)| flatten(&format!("{key}.{name}"), value, out));
        }
        other => {
            out.insert(key.to_owned(), other.to_string());
        }
    }
}

//! Single settings with the place where they were given.

use std::path::Path;

use serde::Serialize;
use serde_json::Value as Json;
use toml::de::{DeTable, DeValue};
use toml::{Spanned, Table, Value};

use super::{ConfigError, Origin, nearest};

/// One value for one key.
#[derive(Clone, Debug)]
pub(super) struct Setting {
    /// Where it was given.
    pub(super) origin: Origin,
    /// The parts of the dotted key.
    pub(super) key: Vec<String>,
    value: Value,
}

impl Setting {
    /// Writes the value to its place in the table. TOML tells integers from floats, people do not: an integer
    /// takes the place of a float as a float.
    pub(super) fn put(&self, table: &mut Table) {
        let Some((last, sections)) = self.key.split_last() else { return };
        let mut place = table;
        for section in sections {
            let entry = place.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            if !entry.is_table() {
                *entry = Value::Table(Table::new());
            }
            let Value::Table(inner) = entry else { return };
            place = inner;
        }
        let value = match (&self.value, place.get(last)) {
            (Value::Integer(number), Some(Value::Float(_))) => Value::Float(*number as f64),
            (value, _) => value.clone(),
        };
        place.insert(last.clone(), value);
    }
}

/// The dotted keys of all values of a configuration, those without a value included.
pub(super) fn known_keys(config: &impl Serialize) -> Vec<String> {
    fn collect(prefix: &str, value: &Json, out: &mut Vec<String>) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields {
                    let key = if prefix.is_empty() { name.clone() } else { format!("{prefix}.{name}") };
                    collect(&key, value, out);
                }
            }
            _ => out.push(prefix.to_owned()),
        }
    }
    let mut out = Vec::new();
    collect("", &serde_json::to_value(config).unwrap_or(Json::Null), &mut out);
    out
}

/// The settings of `--set` flags.
pub(super) fn settings_of_flags(sets: &[String], known: &[String]) -> Result<Vec<Setting>, ConfigError> {
    sets.iter().map(|text| setting_of_flag(text, known)).collect()
}

fn setting_of_flag(text: &str, known: &[String]) -> Result<Setting, ConfigError> {
    let missing = |missing| ConfigError::NotASetting { text: text.to_owned(), missing };
    let (key, value) = text.split_once('=').ok_or_else(|| missing("`=`"))?;
    let (key, value) = (key.trim(), value.trim());
    if key.is_empty() {
        return Err(missing("key"));
    }
    let setting = Setting {
        origin: Origin::Flag { text: text.to_owned() },
        key: key.split('.').map(str::to_owned).collect(),
        value: value.parse().unwrap_or_else(|_| Value::String(value.to_owned())),
    };
    check(setting, known)
}

/// The settings of a file's text, in the order in which they stand there.
pub(super) fn settings_of_file(
    path: &Path,
    text: &str,
    known: &[String],
) -> Result<Vec<Setting>, ConfigError> {
    let syntax = |e: &toml::de::Error| ConfigError::Syntax {
        path: path.to_owned(),
        message: e.to_string().trim_end().to_owned(),
    };
    let values: Table = text.parse().map_err(|e| syntax(&e))?;
    let places = DeTable::parse(text).map_err(|e| syntax(&e))?;
    let mut found = Vec::new();
    collect(&mut Vec::new(), &values, places.get_ref(), &mut found);
    found.sort_by_key(|(start, _, _)| *start);
    found
        .into_iter()
        .map(|(start, key, value)| {
            let (line, column) = line_and_column(text, start);
            check(Setting { origin: Origin::File { path: path.to_owned(), line, column }, key, value }, known)
        })
        .collect()
}

/// The leaves of a table with the offsets of their keys.
fn collect(
    prefix: &mut Vec<String>,
    values: &Table,
    places: &DeTable<'_>,
    out: &mut Vec<(usize, Vec<String>, Value)>,
) {
    for (name, place) in places {
        let Some(value) = values.get(name.get_ref().as_ref()) else { continue };
        prefix.push(name.get_ref().to_string());
        match (value, place.get_ref()) {
            (Value::Table(values), DeValue::Table(places)) => collect(prefix, values, places, out),
            _ => out.push((start_of(name), prefix.clone(), value.clone())),
        }
        prefix.pop();
    }
}

fn start_of<T>(spanned: &Spanned<T>) -> usize {
    spanned.span().start
}

fn line_and_column(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// Refuses keys that do not exist and numbers that are not numbers.
fn check(setting: Setting, known: &[String]) -> Result<Setting, ConfigError> {
    let key = setting.key.join(".");
    let exists = known.binary_search(&key).is_ok();
    if !exists {
        let nearest = nearest::of(&key, known.iter().map(String::as_str)).to_owned();
        return Err(ConfigError::UnknownKey { origin: setting.origin, key, nearest });
    }
    if let Value::Float(number) = setting.value
        && !number.is_finite()
    {
        let message = format!("expected a finite number, found {number}");
        return Err(ConfigError::Value { origin: setting.origin, key, message });
    }
    Ok(setting)
}

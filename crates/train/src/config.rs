//! From a preset, a file and `--set key=value` to one resolved configuration.
//!
//! A preset is a complete TOML document; what comes later replaces single values. A key that no preset has
//! is an error with the nearest key that exists, and the error points at the file's line and column: a
//! misspelt setting must never train with the default in silence.

mod nearest;
mod settings;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::TrainError;

use settings::{Setting, known_keys, settings_of_file, settings_of_flags};

/// A named configuration that comes with the program.
#[derive(Clone, Copy, Debug)]
pub struct Preset {
    /// What is typed after `--preset`.
    pub name: &'static str,
    /// One line about what it is for.
    pub help: &'static str,
    /// The configuration, every value.
    pub toml: &'static str,
}

/// A [`Preset`] whose configuration is `presets/NAME.toml`.
macro_rules! preset {
    ($name:literal, $help:literal) => {
        $crate::config::Preset {
            name: $name,
            help: $help,
            toml: include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/presets/", $name, ".toml")),
        }
    };
}
pub(crate) use preset;

/// Where a setting was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// In the file of `--config`.
    File {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// In a `--set`.
    Flag {
        /// What was typed after it.
        text: String,
    },
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::File { path, line, column } => {
                write!(f, "{}, line {line}, column {column}", path.display())
            }
            Origin::Flag { text } => write!(f, "--set {text}"),
        }
    }
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ConfigError {
    /// Neither a preset nor a file.
    #[error("no configuration given\nhint: --preset {}, or --config with a file that holds every value", known.join(" | "))]
    Nothing {
        /// The presets that there are.
        known: Vec<String>,
    },
    /// No preset of that name.
    #[error("unknown preset {found:?}\nhint: did you mean {nearest:?}? Presets are {}", known.join(", "))]
    UnknownPreset {
        /// The name as typed.
        found: String,
        /// The most similar one.
        nearest: String,
        /// All of them.
        known: Vec<String>,
    },
    /// The file is not TOML.
    #[error("{path}: {message}")]
    Syntax {
        /// The file.
        path: PathBuf,
        /// What the parser says, with the line and a marker under it.
        message: String,
    },
    /// A `--set` without `=`, or without a key.
    #[error("--set {text}: expected key=value, found no {missing}\nhint: for example --set batch=8")]
    NotASetting {
        /// What was typed.
        text: String,
        /// What is not there.
        missing: &'static str,
    },
    /// No such setting.
    #[error("{origin}: unknown key `{key}`\nhint: did you mean `{nearest}`? `--dry-run` prints every key")]
    UnknownKey {
        /// Where it was given.
        origin: Origin,
        /// The key, dotted.
        key: String,
        /// The most similar key.
        nearest: String,
    },
    /// The value does not fit the setting.
    #[error("{origin}: `{key}`: {message}")]
    Value {
        /// Where it was given.
        origin: Origin,
        /// The key, dotted.
        key: String,
        /// What was expected and found.
        message: String,
    },
    /// The values do not make a configuration together, such as a file that misses some.
    #[error("{what}: {message}\nhint: begin with a preset and change single values")]
    Incomplete {
        /// The file, or `the settings together`.
        what: String,
        /// What was expected and found.
        message: String,
    },
}

/// Resolves a configuration: the preset's values, then the file's, then those of `sets`, the last one winning.
/// `file` is the path, for messages, with its text. Values are TOML; in `sets` a bare word is a string.
///
/// # Errors
/// [`ConfigError`], which says where the value was given.
///
/// # Panics
/// When one of `presets` is not a complete configuration: they are part of the program.
pub fn resolve<C: Serialize + DeserializeOwned>(
    presets: &[Preset],
    preset: Option<&str>,
    file: Option<(&Path, &str)>,
    sets: &[String],
) -> Result<C, ConfigError> {
    let names = || presets.iter().map(|preset| preset.name.to_owned()).collect::<Vec<_>>();
    let mut known = Vec::new();
    for preset in presets {
        known.extend(known_keys(&complete::<C>(preset)));
    }
    known.sort();
    known.dedup();

    let base = match preset {
        None if file.is_none() => return Err(ConfigError::Nothing { known: names() }),
        None => toml::Table::new(),
        Some(name) => match presets.iter().find(|preset| preset.name == name) {
            Some(preset) => complete_table::<C>(preset),
            None => {
                let nearest = nearest::of(name, presets.iter().map(|preset| preset.name)).to_owned();
                return Err(ConfigError::UnknownPreset { found: name.to_owned(), nearest, known: names() });
            }
        },
    };
    let mut given = match file {
        Some((path, text)) => settings_of_file(path, text, &known)?,
        None => Vec::new(),
    };
    given.extend(settings_of_flags(sets, &known)?);

    let mut table = base.clone();
    given.iter().for_each(|setting| setting.put(&mut table));
    match deserialize::<C>(&table) {
        Ok(config) => refuse_strangers(config, given),
        Err(message) => Err(blame::<C>(base, &given, message, preset.is_none().then_some(file).flatten())),
    }
}

/// Every key that was given must be one that the configuration took: presets of other families have keys that
/// this one has no use for.
fn refuse_strangers<C: Serialize>(config: C, given: Vec<Setting>) -> Result<C, ConfigError> {
    let taken = known_keys(&config);
    for Setting { origin, key, .. } in given {
        let key = key.join(".");
        if !taken.contains(&key) {
            let nearest = nearest::of(&key, taken.iter().map(String::as_str)).to_owned();
            return Err(ConfigError::UnknownKey { origin, key, nearest });
        }
    }
    Ok(config)
}

fn deserialize<C: DeserializeOwned>(table: &toml::Table) -> Result<C, String> {
    C::deserialize(toml::Value::Table(table.clone())).map_err(|e| e.message().to_owned())
}

/// The setting that makes the configuration invalid by itself, or the message for all of them.
fn blame<C: DeserializeOwned>(
    mut table: toml::Table,
    given: &[Setting],
    message: String,
    only_file: Option<(&Path, &str)>,
) -> ConfigError {
    if let Some((path, _)) = only_file {
        return ConfigError::Incomplete { what: path.display().to_string(), message };
    }
    let expected = known_keys(&table);
    for setting in given {
        setting.put(&mut table);
        if let Err(message) = deserialize::<C>(&table) {
            let Setting { origin, key, .. } = setting.clone();
            let key = key.join(".");
            if expected.contains(&key) {
                // A field that is unknown now was known before: this value is what other fields hang on.
                let hint =
                    "\nhint: this kind has other settings; begin with a preset of it, or give all of them";
                let hint = if message.starts_with("unknown field") { hint } else { "" };
                return ConfigError::Value { origin, key, message: message + hint };
            }
            let nearest = nearest::of(&key, expected.iter().map(String::as_str)).to_owned();
            return ConfigError::UnknownKey { origin, key, nearest };
        }
    }
    ConfigError::Incomplete { what: "the settings together".to_owned(), message }
}

/// The configuration of a preset.
fn complete<C: DeserializeOwned>(preset: &Preset) -> C {
    match toml::from_str(preset.toml) {
        Ok(config) => config,
        Err(e) => panic!("preset {} is not a complete configuration: {e}", preset.name),
    }
}

/// Every value of a preset.
fn complete_table<C: Serialize + DeserializeOwned>(preset: &Preset) -> toml::Table {
    match toml::Table::try_from(complete::<C>(preset)) {
        Ok(table) => table,
        Err(e) => panic!("preset {} has no TOML form: {e}", preset.name),
    }
}

/// An error that names the key unless `valid`. NaN fails every comparison, so it is refused everywhere.
pub(crate) fn require(
    valid: bool,
    key: &'static str,
    expected: &str,
    found: impl fmt::Display,
) -> Result<(), TrainError> {
    if valid {
        Ok(())
    } else {
        Err(TrainError::Config { key, expected: expected.to_owned(), found: found.to_string() })
    }
}

#[cfg(test)]
mod tests;

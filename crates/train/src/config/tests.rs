use serde::Deserialize;

use super::*;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Config {
    batch: usize,
    rate: f64,
    labels: Labels,
    limit: Option<f64>,
    network: Network,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Labels {
    Gray,
    Onehot,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Network {
    channels: Vec<usize>,
    width: usize,
}

const TINY: &str = "batch = 8\nrate = 0.001\nlabels = \"gray\"\n[network]\nchannels = [8, 16]\nwidth = 32\n";
const PRESETS: [Preset; 2] = [
    Preset { name: "tiny-64", help: "minutes on a processor", toml: TINY },
    Preset { name: "paper-256", help: "as published", toml: TINY },
];

fn with(file: Option<&str>, sets: &[&str]) -> Result<Config, ConfigError> {
    let sets: Vec<String> = sets.iter().map(|&set| set.to_owned()).collect();
    resolve(&PRESETS, Some("tiny-64"), file.map(|text| (Path::new("own.toml"), text)), &sets)
}

fn message(file: Option<&str>, sets: &[&str]) -> String {
    with(file, sets).unwrap_err().to_string()
}

#[test]
fn flags_win_over_the_file_and_the_file_over_the_preset() {
    let file = "rate = 1\n[network]\nwidth = 64\n";
    let config = with(Some(file), &["network.width=128", "labels=onehot", "limit=2", "network.channels=[4]"]);
    let network = Network { channels: vec![4], width: 128 };
    let expected = Config { batch: 8, rate: 1.0, labels: Labels::Onehot, limit: Some(2.0), network };
    assert_eq!(config, Ok(expected));
}

#[test]
fn a_file_alone_is_enough_when_it_is_complete() {
    let config: Result<Config, _> = resolve(&PRESETS, None, Some((Path::new("own.toml"), TINY)), &[]);
    assert_eq!(config, with(None, &[]));
    let part = resolve::<Config>(&PRESETS, None, Some((Path::new("own.toml"), "batch = 1")), &[]);
    let message = part.unwrap_err().to_string();
    assert!(message.contains("own.toml: missing field `rate`") && message.contains("hint:"), "{message}");
}

#[test]
fn unknown_keys_name_the_nearest_and_their_place() {
    let text = message(Some("rate = 0.1\n\n[network]\n  widht = 64\n"), &[]);
    assert!(text.contains("own.toml, line 4, column 3: unknown key `network.widht`"), "{text}");
    assert!(text.contains("hint: did you mean `network.width`?"), "{text}");
    let text = message(None, &["bacth=8"]);
    assert!(text.contains("--set bacth=8: unknown key `bacth`") && text.contains("`batch`"), "{text}");
    let text = message(Some("[optimiser]\nrate = 1\n"), &[]);
    assert!(text.contains("line 2, column 1") && text.contains("did you mean `rate`?"), "{text}");
}

#[test]
fn values_of_the_wrong_kind_are_explained() {
    for (set, expected) in [
        ("batch=-1", "-1"),
        ("batch=lots", "expected usize"),
        ("labels=grey", "expected `gray` or `onehot`"),
        ("rate=nan", "expected a finite number"),
        ("batch=1.5", "1.5"),
        ("network.channels=4", "expected a sequence"),
    ] {
        let text = message(None, &[set]);
        assert!(text.starts_with(&format!("--set {set}: `")) && text.contains(expected), "{text}");
    }
    let text = message(Some("batch = 2\nrate = \"fast\"\n"), &[]);
    assert!(text.contains("own.toml, line 2, column 1: `rate`"), "{text}");
}

#[test]
fn what_is_not_toml_or_not_a_setting_is_refused() {
    let text = message(Some("batch = 8\nrate = = 1\n"), &[]);
    assert!(text.contains("own.toml") && text.contains("line 2"), "{text}");
    assert!(message(None, &["batch"]).contains("expected key=value"));
    assert!(message(None, &["=8"]).contains("found no key"));
    // A value is one value: it cannot smuggle in another setting.
    assert!(message(None, &["batch=1\nrate = 5"]).contains("expected usize"));
}

#[test]
fn presets_are_known_by_name() {
    let unknown = resolve::<Config>(&PRESETS, Some("tiny-46"), None, &[]).unwrap_err().to_string();
    assert!(unknown.contains("did you mean \"tiny-64\"?"), "{unknown}");
    let nothing = resolve::<Config>(&PRESETS, None, None, &[]).unwrap_err().to_string();
    assert!(nothing.contains("--preset tiny-64 | paper-256"), "{nothing}");
}

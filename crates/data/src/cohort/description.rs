//! `cohort.toml`: an explicit description of a cohort whose names are its own.
//!
//! ```toml
//! annotation = "labels/{subject}.nii.gz"
//!
//! [[channels]]
//! name = "T1"
//! file = "images/{subject}_0000.nii.gz"
//!
//! [[classes]]                 # without classes: those of BraTS
//! name = "background"
//! values = [0]
//!
//! [[classes]]
//! name = "lesion"
//! values = [1]
//!
//! [[regions]]                 # optional
//! name = "all"
//! classes = ["lesion"]
//! ```

use std::ops::Range;
use std::path::Path;

use serde::Deserialize;
use synthmr_core::files::{self, FileError};
use synthmr_core::labels::{Class, Region};
use synthmr_core::{LabelScheme, limits};
use toml::Spanned;

use super::layout::{Layout, Match, Role};
use super::pattern::Pattern;

/// The file's name in the cohort's folder.
pub(super) const FILE_NAME: &str = "cohort.toml";

/// Colours of classes that name none; from Okabe and Ito's set for colour-blind readers.
const COLOURS: [[u8; 3]; 7] = [
    [230, 159, 0],
    [86, 180, 233],
    [0, 158, 115],
    [240, 228, 66],
    [0, 114, 178],
    [213, 94, 0],
    [204, 121, 167],
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    channels: Spanned<Vec<ChannelEntry>>,
    annotation: Spanned<String>,
    classes: Option<Spanned<Vec<ClassEntry>>>,
    #[serde(default)]
    regions: Vec<RegionEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ChannelEntry {
    name: Spanned<String>,
    file: Spanned<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClassEntry {
    name: String,
    values: Vec<i32>,
    gray: Option<u8>,
    rgb: Option<[u8; 3]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RegionEntry {
    name: String,
    classes: Spanned<Vec<String>>,
}

/// A cohort with names of its own.
pub(super) struct Description {
    channels: Vec<(String, Pattern)>,
    annotation: Pattern,
    labels: LabelScheme,
}

/// What is wrong, and where in the text.
type Fault = (Range<usize>, String);

impl Description {
    /// Reads and checks a description.
    pub(super) fn read(path: &Path) -> Result<Self, FileError> {
        let text = files::read_text(path)?;
        Self::parse(&text)
            .map_err(|fault| FileError::Document { path: path.to_owned(), message: located(&text, fault) })
    }

    fn parse(text: &str) -> Result<Self, Fault> {
        let document: Document =
            toml::from_str(text).map_err(|e| (e.span().unwrap_or(0..0), with_nearest(e.message())))?;
        let Document { channels, annotation, classes, regions } = document;
        let count = channels.get_ref().len();
        if count == 0 || count > limits::IMAGE_CHANNELS {
            let message = format!("expected 1 to {} channels, found {count}", limits::IMAGE_CHANNELS);
            return Err((channels.span(), message));
        }
        let pattern = |source: &Spanned<String>| {
            Pattern::parse(source.get_ref()).map_err(|message| (source.span(), message))
        };
        let mut named: Vec<(String, Pattern)> = Vec::new();
        for entry in channels.get_ref() {
            let name = entry.name.get_ref();
            if name.is_empty() || named.iter().any(|(other, _)| other == name) {
                return Err((entry.name.span(), format!("expected a new channel name, found {name:?}")));
            }
            named.push((name.clone(), pattern(&entry.file)?));
        }
        let annotation = pattern(&annotation)?;
        let mut labels = match &classes {
            None => LabelScheme::brats(),
            Some(entries) => LabelScheme { classes: classes_from(entries.get_ref()), regions: Vec::new() },
        };
        if classes.is_some() || !regions.is_empty() {
            labels.regions = regions_from(&regions, &labels.classes)?;
        }
        let span = classes.map_or(0..0, |entries| entries.span());
        labels.validate().map_err(|error| (span, error.to_string()))?;
        Ok(Self { channels: named, annotation, labels })
    }

    fn pattern(&self, role: Role) -> &Pattern {
        match role {
            Role::Channel(index) => &self.channels[index].1,
            Role::Annotation => &self.annotation,
        }
    }
}

impl Layout for Description {
    fn channels(&self) -> Vec<String> {
        self.channels.iter().map(|(name, _)| name.clone()).collect()
    }

    fn labels(&self) -> LabelScheme {
        self.labels.clone()
    }

    fn example(&self, role: Role, subject: &str) -> String {
        self.pattern(role).example(subject)
    }

    fn find(&self, relative: &Path) -> Option<Match> {
        let path = relative.to_str()?;
        let roles = (0..self.channels.len()).map(Role::Channel).chain([Role::Annotation]);
        roles.into_iter().find_map(|role| {
            let subject = self.pattern(role).subject(path)?.to_owned();
            Some(Match { role, name_in_file: subject.clone(), subject })
        })
    }
}

/// Grey levels that are not given are spread evenly over 0 to 255.
fn classes_from(entries: &[ClassEntry]) -> Vec<Class> {
    let last = entries.len().saturating_sub(1).max(1);
    let class = |(index, entry): (usize, &ClassEntry)| Class {
        name: entry.name.clone(),
        source_values: entry.values.clone(),
        gray: entry.gray.unwrap_or((255 * index.min(last) / last) as u8),
        rgb: entry.rgb.unwrap_or(if index == 0 { [0; 3] } else { COLOURS[(index - 1) % COLOURS.len()] }),
    };
    entries.iter().enumerate().map(class).collect()
}

fn regions_from(entries: &[RegionEntry], classes: &[Class]) -> Result<Vec<Region>, Fault> {
    let names: Vec<&str> = classes.iter().map(|class| class.name.as_str()).collect();
    let region = |entry: &RegionEntry| {
        let index = |name: &String| match names.iter().position(|n| n == name) {
            Some(index) => Ok(index as u8),
            None => {
                let hint = nearest(name, &names).map(|n| format!("\nhint: did you mean {n:?}?"));
                let message = format!("expected a class's name, found {name:?}{}", hint.unwrap_or_default());
                Err((entry.classes.span(), message))
            }
        };
        let classes = entry.classes.get_ref().iter().map(index).collect::<Result<_, _>>()?;
        Ok(Region { name: entry.name.clone(), classes })
    };
    entries.iter().map(region).collect()
}

/// Adds the nearest known key to toml's message about an unknown one.
fn with_nearest(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let hint = match (message.starts_with("unknown field"), quoted.split_first()) {
        (true, Some((unknown, known))) => nearest(unknown, known),
        _ => None,
    };
    match hint {
        Some(known) => format!("{message}\nhint: did you mean `{known}`?"),
        None => message.to_owned(),
    }
}

/// The candidate with the fewest edits, when fewer than half of the letters differ.
fn nearest<'a>(name: &str, candidates: &[&'a str]) -> Option<&'a str> {
    let (edits, best) = candidates.iter().map(|c| (edits(name, c), *c)).min()?;
    (2 * edits <= name.chars().count().max(best.chars().count())).then_some(best)
}

/// Levenshtein's distance.
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// The message with line, column and the line itself.
fn located(text: &str, (span, message): Fault) -> String {
    let at = span.start.min(text.len());
    let before = text.get(..at).unwrap_or_default();
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    let line = text.get(start..).and_then(|rest| rest.lines().next()).unwrap_or_default();
    let (number, column) = (before.matches('\n').count() + 1, before[start..].chars().count() + 1);
    let shown: String = line.chars().take(100).collect();
    format!("line {number}, column {column}: {message}\n  {number} | {shown}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = r#"annotation = "labels/{subject}.nii.gz"
[[channels]]
name = "T1"
file = "images/{subject}_0000.nii.gz"
[[classes]]
name = "background"
values = [0]
[[classes]]
name = "lesion"
values = [1, 7]
[[regions]]
name = "all"
classes = ["lesion"]
"#;

    fn fault(text: &str) -> String {
        located(text, Description::parse(text).err().unwrap())
    }

    #[test]
    fn a_description_names_files_and_labels() {
        let description = Description::parse(GOOD).unwrap();
        assert_eq!(description.channels(), ["T1"]);
        let found = description.find(Path::new("images/s 1_0000.nii.gz")).unwrap();
        assert_eq!((found.role, found.subject.as_str()), (Role::Channel(0), "s 1"));
        assert_eq!(description.find(Path::new("labels/s 1.nii.gz")).unwrap().role, Role::Annotation);
        assert_eq!(description.find(Path::new("labels/x/s.nii.gz")), None);
        let labels = description.labels();
        assert_eq!((labels.classes[1].gray, &labels.classes[1].source_values[..]), (255, &[1, 7][..]));
        assert_eq!(labels.regions[0].classes, [1]);
    }

    #[test]
    fn an_unknown_key_names_its_line_and_the_nearest_key() {
        let message = fault(&GOOD.replace("annotation =", "anotation ="));
        assert!(message.starts_with("line 1, column 1: unknown field `anotation`"), "{message}");
        assert!(message.contains("did you mean `annotation`?"), "{message}");
        let message = fault(&GOOD.replace("values = [1, 7]", "valeus = [1]"));
        assert!(message.starts_with("line 10, column 1") && message.contains("`values`?"), "{message}");
    }

    #[test]
    fn every_mistake_names_its_line() {
        for (from, to, expected) in [
            ("{subject}_0000", "0000", "line 4, column 8: expected a file pattern"),
            ("labels/{subject}", "../{subject}", "line 1, column 14: expected a path below"),
            ("[\"lesion\"]", "[\"leison\"]", "line 13, column 11: expected a class's name"),
            ("values = [0]", "values = [1]", "line 5, column 1"),
            ("values = [0]", "values = 0", "line 7, column 10: invalid type"),
            ("name = \"T1\"", "name = \"\"", "line 3, column 8: expected a new channel name"),
            ("[[channels]]", "[[channels]", "line 2"),
        ] {
            let message = fault(&GOOD.replace(from, to));
            assert!(message.starts_with(expected), "{message}");
        }
    }

    #[test]
    fn rejects_more_channels_than_an_image_may_have() {
        let mut text = GOOD.to_owned();
        for i in 0..limits::IMAGE_CHANNELS {
            text += &format!("[[channels]]\nname = \"c{i}\"\nfile = \"{{subject}}_{i}.nii\"\n");
        }
        assert!(fault(&text).contains("expected 1 to 32 channels, found 33"), "{}", fault(&text));
    }
}

//! Divisions by list: a file, or the study's own.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;

use synthmr_core::{Split, SubjectId, files};

use super::{SplitError, SplitFractions, by_rank};

/// The study's lists, compacted: `prefix P`, then `train` or `test` with the numbers that follow it.
const BUILT_IN: [(&str, &str); 2] = [
    ("paper-brats2020", include_str!("../splits/brats2020.txt")),
    ("paper-brats2021", include_str!("../splits/brats2021.txt")),
];

/// The seed with which the study divided its training subjects, and its share of training subjects.
const STUDY_SEED: u64 = 0;
const STUDY_FRACTIONS: &str = "train=0.8,val=0.2";

/// A part for each name.
#[derive(Clone, Debug, PartialEq)]
pub struct SplitList {
    name: String,
    parts: BTreeMap<String, Split>,
}

impl SplitList {
    /// One of the study's lists: `paper-brats2020` (313 training and 56 test subjects) or `paper-brats2021`
    /// (1,195 and 56). The test subjects are the study's; 20 % of its training subjects become `val` by hash
    /// rank over the *whole* list with seed 0, so that part of a cohort is divided as the whole would be
    /// (the study used 80/20 with seed 0 as well; the subjects it drew are not published).
    pub fn built_in(name: &str) -> Option<Self> {
        let (_, text) = BUILT_IN.iter().find(|(known, _)| *known == name)?;
        let mut prefix = "";
        let (mut train, mut parts) = (Vec::new(), BTreeMap::new());
        for line in text.lines() {
            match line.split_once(' ') {
                Some(("prefix", text)) => prefix = text,
                Some(("train", numbers)) => {
                    let names = numbers.split(' ').map(|number| format!("{prefix}{number}"));
                    train.extend(names.filter_map(|name| SubjectId::new(name).ok()));
                }
                Some(("test", numbers)) => {
                    parts.extend(numbers.split(' ').map(|number| (format!("{prefix}{number}"), Split::Test)));
                }
                _ => {}
            }
        }
        let fractions: SplitFractions = STUDY_FRACTIONS.parse().ok()?;
        let splits = by_rank(&fractions, &train, STUDY_SEED).ok()?;
        parts.extend(train.into_iter().map(String::from).zip(splits));
        Some(Self { name: name.to_owned(), parts })
    }

    /// Reads a file of lines `NAME SPLIT`; `#` begins a comment line, empty lines are skipped. The name is
    /// all that precedes the last space.
    ///
    /// # Errors
    /// [`SplitError::Line`] for a line of another form or a name listed twice, [`SplitError::File`].
    pub fn read(path: &Path) -> Result<Self, SplitError> {
        let text = files::read_text(path)?;
        let mut parts = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let refuse =
                |message: String| SplitError::Line { path: path.to_owned(), line: number + 1, message };
            let Some((name, part)) = line.rsplit_once(char::is_whitespace) else {
                return Err(refuse(format!("expected a name and a part, found {line:?}")));
            };
            let part: Split = part
                .parse()
                .map_err(|_| refuse(format!("expected one of train, val, control, test, found {part:?}")))?;
            let name = name.trim_end().to_owned();
            if let Some(other) = parts.insert(name.clone(), part) {
                return Err(refuse(format!("expected each subject once, found {name:?} before in {other}")));
            }
        }
        let name = path.file_name().map_or_else(|| "list".into(), |name| name.to_string_lossy().into_owned());
        Ok(Self { name, parts })
    }

    /// The part of every subject. Names that the cohort does not have are no fault: a list may be of more.
    pub(super) fn assign(&self, subjects: &[SubjectId]) -> Result<Vec<Split>, SplitError> {
        let part = |subject: &SubjectId| {
            let unlisted = || SplitError::Unlisted { subject: subject.clone(), list: self.name.clone() };
            self.parts.get(subject.as_str()).copied().ok_or_else(unlisted)
        };
        subjects.iter().map(part).collect()
    }
}

impl fmt::Display for SplitList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({} subjects listed)", self.name, self.parts.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::split::SplitRequest;

    fn counts(list: &SplitList) -> [usize; 4] {
        Split::ALL.map(|part| list.parts.values().filter(|&&p| p == part).count())
    }

    #[test]
    fn the_studys_lists_have_its_numbers_of_subjects() {
        // 313 / 56 and 1,195 / 56 subjects; 80 % of 313 and 1,195 are 250.4 and 956.
        assert_eq!(counts(&SplitList::built_in("paper-brats2020").unwrap()), [250, 63, 0, 56]);
        assert_eq!(counts(&SplitList::built_in("paper-brats2021").unwrap()), [956, 239, 0, 56]);
        assert!(SplitList::built_in("paper-brats2022").is_none());
    }

    #[test]
    fn part_of_a_cohort_is_divided_as_the_whole() {
        let list = SplitList::built_in("paper-brats2021").unwrap();
        let all: Vec<SubjectId> =
            list.parts.keys().map(|name| SubjectId::new(name.clone()).unwrap()).collect();
        let whole = list.assign(&all).unwrap();
        assert_eq!(list.assign(&all[100..110]).unwrap(), whole[100..110]);
        let test = SubjectId::new("BraTS2021_01566").unwrap();
        assert_eq!(list.assign(&[test]).unwrap(), [Split::Test]);
    }

    #[test]
    fn a_list_is_a_file_of_names_and_parts() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("parts.txt");
        std::fs::write(&path, "# ours\n\nA B\ttrain\nC   test\n").unwrap();
        let request = SplitRequest::parse(path.to_str().unwrap()).unwrap();
        let ids = ["A B", "C"].map(|name| SubjectId::new(name).unwrap());
        assert_eq!(request.assign(&ids, 0, 0).unwrap().splits, [Split::Train, Split::Test]);
        let stranger = SubjectId::new("D").unwrap();
        let message = request.assign(&[stranger], 0, 0).unwrap_err().to_string();
        assert!(message.contains("subject D") && message.contains("parts.txt"), "{message}");

        for (text, expected) in [("A\n", "line 1"), ("\nA dev\n", "\"dev\""), ("A val\nA test\n", "line 2")] {
            std::fs::write(&path, text).unwrap();
            let message = SplitList::read(&path).unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("parts.txt"), "{message}");
        }
    }
}

//! Identifiers: subjects, digests, splits.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits;

/// Why a text is not a valid identifier.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum IdError {
    /// The subject's name is empty, too long, or holds characters that could leave its folder.
    #[error(
        "not a usable subject name: {found:?} (expected 1 to {max} characters, no `/`, `\\` or control \
         characters, not `.` or `..`, not beginning with `-`)",
        max = limits::SUBJECT_NAME_BYTES
    )]
    Subject {
        /// The name as found, shortened.
        found: String,
    },
    /// A digest is 64 hexadecimal digits.
    #[error("not a digest: expected 64 lower-case hexadecimal digits, found {found:?}")]
    Digest {
        /// The text as found, shortened.
        found: String,
    },
    /// Not the name of a split.
    #[error("not a split: expected train, val, control or test, found {found:?}")]
    Split {
        /// The text as found, shortened.
        found: String,
    },
}

fn shorten(text: &str) -> String {
    text.chars().take(60).collect()
}

/// The name of a subject inside the hospital. Never leaves the cohort: records carry [`SubjectId::pseudonym`].
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectId(String);

impl SubjectId {
    /// Accepts a name that is safe as a single path component.
    ///
    /// # Errors
    /// [`IdError::Subject`] for empty or overlong names, path separators, control characters, `.`, `..`
    /// and a leading `-`.
    pub fn new(name: impl Into<String>) -> Result<Self, IdError> {
        let name = name.into();
        let unsafe_char = |c: char| c == '/' || c == '\\' || c.is_control();
        let unusable = name.is_empty()
            || name.len() > limits::SUBJECT_NAME_BYTES
            || name == "."
            || name == ".."
            || name.starts_with('-')
            || name.chars().any(unsafe_char);
        if unusable { Err(IdError::Subject { found: shorten(&name) }) } else { Ok(Self(name)) }
    }

    /// The name itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// A keyed digest that stands for the subject in every record after the import.
    /// It hides the name from a reader who does not know `key`; it is a pseudonym, not anonymisation.
    pub fn pseudonym(&self, key: u64) -> Digest {
        let key = blake3::derive_key("synthmr 2026 subject pseudonym", &key.to_le_bytes());
        Digest(blake3::keyed_hash(&key, self.0.as_bytes()).to_hex().to_string())
    }
}

impl fmt::Display for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for SubjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SubjectId({:?})", self.0)
    }
}

impl TryFrom<String> for SubjectId {
    type Error = IdError;
    fn try_from(name: String) -> Result<Self, IdError> {
        Self::new(name)
    }
}

impl From<SubjectId> for String {
    fn from(id: SubjectId) -> String {
        id.0
    }
}

/// A BLAKE3 digest, written as 64 hexadecimal digits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(String);

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(blake3::hash(bytes).to_hex().to_string())
    }

    /// The same digest, computed on all of rayon's threads; worth it from about a megabyte.
    pub fn of_large(bytes: &[u8]) -> Self {
        Self(blake3::Hasher::new().update_rayon(bytes).finalize().to_hex().to_string())
    }

    /// The digest of a value's JSON form.
    ///
    /// # Panics
    /// Never for the record types of this crate: their JSON form has string keys only.
    pub fn of_json<T: Serialize>(value: &T) -> Self {
        #[expect(clippy::expect_used, reason = "records have string keys and no failing serialisers")]
        Self::of(&serde_json::to_vec(value).expect("records serialise"))
    }

    /// The 64 hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, for people.
    pub fn short(&self) -> &str {
        &self.0[..12]
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = IdError;
    fn try_from(text: String) -> Result<Self, IdError> {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        if text.len() == 64 && text.bytes().all(hex) {
            Ok(Self(text))
        } else {
            Err(IdError::Digest { found: shorten(&text) })
        }
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.0
    }
}

/// Accumulates a [`Digest`] over pieces; the length of every piece is part of it.
#[derive(Default)]
pub struct Digester(blake3::Hasher);

impl Digester {
    /// Begins an empty digest.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one piece.
    pub fn add(&mut self, piece: &[u8]) -> &mut Self {
        self.0.update(&(piece.len() as u64).to_le_bytes());
        self.0.update(piece);
        self
    }

    /// The digest of all pieces so far.
    pub fn finish(&self) -> Digest {
        Digest(self.0.finalize().to_hex().to_string())
    }
}

/// The part of a cohort that a subject belongs to. Subjects never cross splits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Split {
    /// Generators and segmenters learn from these.
    Train,
    /// Checkpoints and detectors are chosen on these.
    Val,
    /// Held out for the memorisation audit; nothing is ever trained on them.
    Control,
    /// Segmenters are tested on these, once.
    Test,
}

impl Split {
    /// Every split, in the order in which they are listed.
    pub const ALL: [Split; 4] = [Split::Train, Split::Val, Split::Control, Split::Test];

    /// The name used on the command line and in records.
    pub fn name(self) -> &'static str {
        match self {
            Split::Train => "train",
            Split::Val => "val",
            Split::Control => "control",
            Split::Test => "test",
        }
    }
}

impl fmt::Display for Split {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Split {
    type Err = IdError;
    fn from_str(text: &str) -> Result<Self, IdError> {
        Split::ALL
            .into_iter()
            .find(|split| split.name() == text)
            .ok_or_else(|| IdError::Split { found: shorten(text) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejects_subject_names_that_leave_their_folder() {
        let long = "x".repeat(limits::SUBJECT_NAME_BYTES + 1);
        for name in ["", ".", "..", "../x", "a/b", "a\\b", "a\0b", "a\nb", "-rf", long.as_str()] {
            assert!(SubjectId::new(name).is_err(), "{name:?} was accepted");
        }
        for name in ["BraTS2021_01476", "sub-01", "Zoë", "<script>"] {
            assert!(SubjectId::new(name).is_ok(), "{name:?} was refused");
        }
    }

    #[test]
    fn pseudonyms_depend_on_name_and_key() {
        let a = SubjectId::new("a").unwrap();
        let b = SubjectId::new("b").unwrap();
        assert_eq!(a.pseudonym(1), a.pseudonym(1));
        assert_ne!(a.pseudonym(1), a.pseudonym(2));
        assert_ne!(a.pseudonym(1), b.pseudonym(1));
    }

    #[test]
    fn digests_are_blake3() {
        // The published BLAKE3 test vector for empty input.
        let empty = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";
        assert_eq!(Digest::of(b"").as_str(), empty);
        assert_eq!(Digest::of_large(b"").as_str(), empty);
        let large: Vec<u8> = (0..3_000_001u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        assert_eq!(Digest::of_large(&large), Digest::of(&large));
        assert!(Digest::try_from(empty[1..].to_owned()).is_err());
        assert!(Digest::try_from(empty.to_uppercase()).is_err());
    }

    #[test]
    fn digester_separates_pieces() {
        let joined = Digester::new().add(b"ab").add(b"c").finish();
        let other = Digester::new().add(b"a").add(b"bc").finish();
        assert_ne!(joined, other);
    }

    #[test]
    fn splits_parse_by_name() {
        for split in Split::ALL {
            assert_eq!(split.name().parse::<Split>(), Ok(split));
        }
        assert!("Train".parse::<Split>().is_err());
    }
}

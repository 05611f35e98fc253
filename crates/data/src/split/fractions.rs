//! `train=0.6,val=0.1,control=0.1,test=0.2`.

use std::fmt;
use std::str::FromStr;

use synthmr_core::Split;

use super::SplitError;

/// How far the fractions may be from 1 in sum: more than rounding of a few decimal places, less than a typo.
const SUM_TOLERANCE: f64 = 1e-6;

/// The share of subjects in every part; they sum to 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct SplitFractions([f64; 4]);

impl SplitFractions {
    /// The parts asked for (those above 0) with their fractions.
    pub fn parts(&self) -> impl Iterator<Item = (Split, f64)> {
        Split::ALL.into_iter().zip(self.0).filter(|(_, fraction)| *fraction > 0.0)
    }

    /// The part at a position in `[0, 1)`.
    pub(super) fn part_at(&self, position: f64) -> Split {
        let mut end = 0.0;
        let mut last = Split::Train;
        for (part, fraction) in self.parts() {
            end += fraction;
            last = part;
            if position < end {
                break;
            }
        }
        last
    }

    /// How many of `subjects` go to each part: largest remainders, then at least one in each, taken from the
    /// largest part.
    pub(super) fn counts(&self, subjects: usize) -> Result<Vec<(Split, usize)>, SplitError> {
        let parts: Vec<(Split, f64)> = self.parts().collect();
        if subjects < parts.len() {
            let (split, _) = parts[subjects];
            return Err(SplitError::EmptyPart { split, subjects });
        }
        let exact = |i: usize| parts[i].1 * subjects as f64;
        let mut counts: Vec<usize> = (0..parts.len()).map(|i| exact(i) as usize).collect();
        let mut by_remainder: Vec<usize> = (0..parts.len()).collect();
        by_remainder.sort_by(|&a, &b| exact(b).fract().total_cmp(&exact(a).fract()));
        let missing = subjects.saturating_sub(counts.iter().sum());
        by_remainder.into_iter().take(missing).for_each(|i| counts[i] += 1);
        for i in 0..counts.len() {
            if counts[i] == 0 {
                let largest = (0..counts.len()).max_by_key(|&j| counts[j]).unwrap_or(i);
                counts[largest] -= 1;
                counts[i] += 1;
            }
        }
        Ok(parts.into_iter().map(|(part, _)| part).zip(counts).collect())
    }
}

impl FromStr for SplitFractions {
    type Err = SplitError;
    fn from_str(text: &str) -> Result<Self, SplitError> {
        let refuse = |message: String| SplitError::Request { text: text.to_owned(), message };
        let mut fractions = [None; 4];
        for piece in text.split(',') {
            let Some((name, value)) = piece.split_once('=') else {
                return Err(refuse(format!("expected part=fraction, found {piece:?}")));
            };
            let part: Split = name.trim().parse().map_err(|_| {
                refuse(format!("expected one of train, val, control, test, found {:?}", name.trim()))
            })?;
            let value: f64 =
                value.trim().parse().ok().filter(|v| (0.0..=1.0).contains(v)).ok_or_else(|| {
                    refuse(format!("expected a fraction from 0 to 1 for {part}, found {:?}", value.trim()))
                })?;
            if fractions[part as usize].replace(value).is_some() {
                return Err(refuse(format!("expected each part once, found {part} twice")));
            }
        }
        let fractions = fractions.map(Option::unwrap_or_default);
        let sum: f64 = fractions.iter().sum();
        if (sum - 1.0).abs() > SUM_TOLERANCE {
            return Err(refuse(format!("expected fractions that sum to 1, found a sum of {sum}")));
        }
        Ok(Self(fractions))
    }
}

impl fmt::Display for SplitFractions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parts: Vec<String> = self.parts().map(|(part, value)| format!("{part}={value}")).collect();
        f.write_str(&parts.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_print_as_they_parse() {
        for text in ["train=0.6,val=0.1,control=0.1,test=0.2", "train=0.8,test=0.2", "test=1"] {
            assert_eq!(text.parse::<SplitFractions>().unwrap().to_string(), text);
        }
        let thirds = "train=0.3333333,val=0.3333333,test=0.3333334";
        assert!(thirds.parse::<SplitFractions>().is_ok());
    }

    #[test]
    fn rejects_what_is_no_division() {
        for (text, expected) in [
            ("train=0.6,test=0.3", "sum of 0.89"),
            ("train=0.6,train=0.4", "train twice"),
            ("train=0.6,dev=0.4", "\"dev\""),
            ("train=1.5,test=-0.5", "\"1.5\""),
            ("train=NaN,test=1", "\"NaN\""),
            ("train", "part=fraction"),
            ("", "part=fraction"),
        ] {
            let message = text.parse::<SplitFractions>().unwrap_err().to_string();
            assert!(message.contains(expected) && message.contains("hint:"), "{message}");
        }
    }

    #[test]
    fn rounding_at_the_end_stays_in_the_last_part() {
        let fractions: SplitFractions = "train=0.7,val=0.2999999".parse().unwrap();
        assert_eq!(fractions.part_at(0.99999999), Split::Val);
        assert_eq!(fractions.part_at(0.0), Split::Train);
    }
}

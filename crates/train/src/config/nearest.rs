//! The word that was probably meant.

/// The candidate with the smallest edit distance; for dotted keys also by their last part, so that
/// `batch` finds `training.batch`. Empty without candidates.
pub(super) fn of<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> &'a str {
    let last = |key: &str| key.rsplit('.').next().unwrap_or_default().to_owned();
    candidates
        .min_by_key(|candidate| {
            let whole = 2 * distance(word, candidate);
            whole.min(2 * distance(&last(word), &last(candidate)) + 1)
        })
        .unwrap_or_default()
}

/// Levenshtein distance in characters.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_are_those_of_the_textbook() {
        for (a, b, expected) in [("kitten", "sitting", 3), ("", "abc", 3), ("flaw", "lawn", 2), ("a", "a", 0)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn the_last_part_of_a_key_finds_it() {
        let keys = ["network.channels", "loss.r1_gamma", "batch"];
        assert_eq!(of("bacth", keys.into_iter()), "batch");
        assert_eq!(of("r1_gama", keys.into_iter()), "loss.r1_gamma");
        assert_eq!(of("x", std::iter::empty()), "");
    }
}

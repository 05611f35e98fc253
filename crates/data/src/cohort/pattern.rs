//! File name patterns of `cohort.toml`: `{subject}/anat/{subject}_T1w*.nii.gz`.

use super::walk;

/// What stands for the subject's name.
const SUBJECT: &str = "{subject}";

/// Most `*` in one pattern: matching tries every way to divide a name among them.
const STARS: usize = 3;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Literal(String),
    /// The subject's name: at least one character, no `/`, the same wherever it stands.
    Subject,
    /// `*`: any characters but `/`.
    Any,
}

/// A pattern for the path of a file relative to the cohort.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern {
    source: String,
    tokens: Vec<Token>,
}

impl Pattern {
    /// Reads a pattern, or says what is wrong with it.
    pub(super) fn parse(source: &str) -> Result<Self, String> {
        if !source.contains(SUBJECT) {
            return Err(format!("expected a file pattern with {SUBJECT} in it, found {source:?}"));
        }
        let components: Vec<&str> = source.split('/').collect();
        if components.iter().any(|c| c.is_empty() || *c == "." || *c == "..") {
            return Err(format!("expected a path below the cohort's folder, found {source:?}"));
        }
        if components.len() > walk::DEPTH {
            return Err(format!("expected at most {} levels of folders, found {source:?}", walk::DEPTH));
        }
        let mut tokens = Vec::new();
        for (i, part) in source.split(SUBJECT).enumerate() {
            if i > 0 {
                tokens.push(Token::Subject);
            }
            for (j, literal) in part.split('*').enumerate() {
                if j > 0 {
                    tokens.push(Token::Any);
                }
                if !literal.is_empty() {
                    tokens.push(Token::Literal(literal.to_owned()));
                }
            }
        }
        if tokens.iter().filter(|t| **t == Token::Any).count() > STARS {
            return Err(format!("expected at most {STARS} `*`, found {source:?}"));
        }
        Ok(Self { source: source.to_owned(), tokens })
    }

    /// The subject of a path that fits.
    pub(super) fn subject<'a>(&self, path: &'a str) -> Option<&'a str> {
        fits(&self.tokens, path, None)
    }

    /// The path that a subject's file has by this pattern.
    pub(super) fn example(&self, subject: &str) -> String {
        self.source.replace(SUBJECT, subject)
    }
}

fn fits<'a>(tokens: &[Token], text: &'a str, subject: Option<&'a str>) -> Option<&'a str> {
    let Some((first, rest)) = tokens.split_first() else {
        return if text.is_empty() { subject } else { None };
    };
    match first {
        Token::Literal(literal) => fits(rest, text.strip_prefix(literal.as_str())?, subject),
        Token::Subject => match subject {
            Some(name) => fits(rest, text.strip_prefix(name)?, subject),
            None => ends(text).skip(1).find_map(|end| fits(rest, &text[end..], Some(&text[..end]))),
        },
        Token::Any => ends(text).find_map(|end| fits(rest, &text[end..], subject)),
    }
}

/// Where a part without `/` may end, the shortest first.
fn ends(text: &str) -> impl Iterator<Item = usize> {
    let component = text.split('/').next().unwrap_or_default();
    component.char_indices().map(|(at, _)| at).chain([component.len()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_subject_is_the_same_wherever_it_stands() {
        let pattern = Pattern::parse("{subject}/anat/{subject}_T1*.nii.gz").unwrap();
        assert_eq!(pattern.subject("a_b/anat/a_b_T1w.nii.gz"), Some("a_b"));
        assert_eq!(pattern.subject("a_b/anat/a_T1w.nii.gz"), None);
        assert_eq!(pattern.subject("a/anat/x/a_T1w.nii.gz"), None);
        assert_eq!(pattern.subject("é/anat/é_T1.nii.gz"), Some("é"));
        assert_eq!(pattern.example("s"), "s/anat/s_T1*.nii.gz");
    }

    #[test]
    fn patterns_that_leave_the_folder_or_name_no_subject_are_refused() {
        for source in
            ["t1.nii", "/{subject}", "../{subject}", "a//{subject}", "1/2/3/4/5/{subject}", "{subject}****"]
        {
            assert!(Pattern::parse(source).is_err(), "{source} was accepted");
        }
    }
}

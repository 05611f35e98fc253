//! The names of the BraTS challenges, 2018 to 2024: one folder a subject, the subject's name in every file.

use std::path::Path;

use synthmr_core::LabelScheme;

use super::layout::{Layout, Match, Role};

/// Contrast, then its name endings: 2018 to 2021, and 2023 to 2024.
const CHANNELS: [(&str, [&str; 2]); 4] = [
    ("T1", ["_t1", "-t1n"]),
    ("T1ce", ["_t1ce", "-t1c"]),
    ("T2", ["_t2", "-t2w"]),
    ("FLAIR", ["_flair", "-t2f"]),
];

const ANNOTATION: [&str; 2] = ["_seg", "-seg"];

/// A cohort named as BraTS names its own.
pub(super) struct Brats;

impl Layout for Brats {
    fn channels(&self) -> Vec<String> {
        CHANNELS.iter().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn labels(&self) -> LabelScheme {
        LabelScheme::brats()
    }

    fn example(&self, role: Role, subject: &str) -> String {
        let ending = match role {
            Role::Channel(index) => CHANNELS[index].1[0],
            Role::Annotation => ANNOTATION[0],
        };
        format!("{subject}{ending}.nii.gz")
    }

    fn find(&self, relative: &Path) -> Option<Match> {
        let name = relative.file_name()?.to_str()?;
        let stem = super::layout::nifti_stem(name)?;
        let roles = CHANNELS
            .iter()
            .enumerate()
            .map(|(index, (_, endings))| (Role::Channel(index), endings))
            .chain([(Role::Annotation, &ANNOTATION)]);
        let (role, name) = roles
            .flat_map(|(role, endings)| endings.iter().map(move |ending| (role, ending)))
            .find_map(|(role, ending)| Some((role, stem.strip_suffix(ending)?)))?;
        // The folder is the subject; the root itself has no name here, so files in it belong to nobody.
        let folder = relative.parent()?.file_name()?.to_str()?;
        Some(Match { role, subject: folder.to_owned(), name_in_file: name.to_owned() })
    }
}

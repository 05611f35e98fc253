//! What the values of an annotation mean, and how an annotation is carried by a generator.

use serde::{Deserialize, Serialize};

/// How the annotation is presented to a generator, as extra channels beside the images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LabelEncoding {
    /// One channel, a grey level a class; the form of the study (label / 5 * 255 for BraTS).
    Gray,
    /// One channel a class, background included; decoded by the largest.
    Onehot,
}

/// One class of the annotation. Class 0 is always the background.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Short name, as in records: `NCR`.
    pub name: String,
    /// Values that stand for this class in the source annotation.
    pub source_values: Vec<i32>,
    /// Grey level that carries it in [`LabelEncoding::Gray`].
    pub gray: u8,
    /// Colour in pictures.
    pub rgb: [u8; 3],
}

/// A union of classes that is evaluated as one, such as BraTS's whole tumour.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// Short name: `WT`.
    pub name: String,
    /// Indices into [`LabelScheme::classes`].
    pub classes: Vec<u8>,
}

/// The classes of a cohort's annotation and the regions formed from them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LabelScheme {
    /// Classes by index; a store's label pixels are these indices.
    pub classes: Vec<Class>,
    /// Regions evaluated beside the classes.
    pub regions: Vec<Region>,
}

/// Why a label scheme cannot be used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("unusable label scheme: {0}")]
pub struct LabelSchemeError(String);

impl LabelScheme {
    /// The scheme of BraTS: 1 = necrotic / non-enhancing core (NCR), 2 = oedema (ED), 4 or 3 = enhancing
    /// tumour (ET); regions whole tumour, tumour core, enhancing tumour. Grey levels as in the study:
    /// label / 5 * 255 for labels 0, 1, 2, 4.
    pub fn brats() -> Self {
        let class = |name: &str, source_values: &[i32], gray, rgb| Class {
            name: name.to_owned(),
            source_values: source_values.to_vec(),
            gray,
            rgb,
        };
        let region = |name: &str, classes: &[u8]| Region { name: name.to_owned(), classes: classes.to_vec() };
        Self {
            classes: vec![
                class("background", &[0], 0, [0, 0, 0]),
                class("NCR", &[1], 51, [214, 69, 65]),
                class("ED", &[2], 102, [86, 180, 96]),
                class("ET", &[4, 3], 204, [244, 190, 65]),
            ],
            regions: vec![region("WT", &[1, 2, 3]), region("TC", &[1, 3]), region("ET", &[3])],
        }
    }

    /// Checks what [`Self::decode_gray`] and the evaluation rely on.
    ///
    /// # Errors
    /// When there is no foreground class, a source value or grey level is used twice, grey levels do not
    /// rise with the class, the background is not 0, a name repeats, or a region names an unknown class.
    pub fn validate(&self) -> Result<(), LabelSchemeError> {
        let fail = |message: String| Err(LabelSchemeError(message));
        if self.classes.len() < 2 || self.classes.len() > crate::limits::LABEL_CLASSES {
            return fail(format!(
                "expected 2 to {} classes with the background, found {}",
                crate::limits::LABEL_CLASSES,
                self.classes.len()
            ));
        }
        if self.classes[0].gray != 0 || !self.classes[0].source_values.contains(&0) {
            return fail("the first class must be the background: source value 0, grey level 0".into());
        }
        if self.classes.windows(2).any(|pair| pair[0].gray >= pair[1].gray) {
            return fail("grey levels must rise with the class".into());
        }
        let mut values: Vec<i32> = self.classes.iter().flat_map(|c| c.source_values.clone()).collect();
        values.sort_unstable();
        if let Some(pair) = values.windows(2).find(|pair| pair[0] == pair[1]) {
            return fail(format!("source value {} stands for two classes", pair[0]));
        }
        let mut names: Vec<&str> = self.classes.iter().map(|c| c.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return fail(format!("two classes are named {:?}", pair[0]));
        }
        for region in &self.regions {
            if region.classes.iter().any(|&c| usize::from(c) >= self.classes.len() || c == 0) {
                return fail(format!("region {:?} names a class that does not exist", region.name));
            }
        }
        Ok(())
    }

    /// Number of classes, background included.
    pub fn class_count(&self) -> usize {
        self.classes.len()
    }

    /// Names of the classes, background first.
    pub fn class_names(&self) -> Vec<String> {
        self.classes.iter().map(|class| class.name.clone()).collect()
    }

    /// The foreground classes with their indices.
    pub fn foreground(&self) -> impl Iterator<Item = (u8, &Class)> {
        self.classes.iter().enumerate().skip(1).map(|(index, class)| (index as u8, class))
    }

    /// How many channels an annotation takes in a generator's output.
    pub fn planes(&self, encoding: LabelEncoding) -> usize {
        match encoding {
            LabelEncoding::Gray => 1,
            LabelEncoding::Onehot => self.class_count(),
        }
    }

    /// The class of every grey level: the nearest level, the lower one on a tie. For BraTS these are the
    /// study's thresholds r = v * 5 / 255: r > 3 ET, 1.5 < r <= 3 ED, 0.5 < r <= 1.5 NCR.
    pub fn decode_gray(&self) -> [u8; 256] {
        std::array::from_fn(|value| {
            let distance = |class: &Class| (value as i32 - i32::from(class.gray)).abs();
            let nearest = (0..self.classes.len()).min_by_key(|&index| distance(&self.classes[index]));
            nearest.unwrap_or(0) as u8
        })
    }

    /// For every grey level, whether it is *unclean*: farther from its class's level than a quarter of the
    /// gap to the neighbouring level on that side. A generator that learnt the annotation makes few of them.
    pub fn unclean_gray(&self) -> [bool; 256] {
        let class_of = self.decode_gray();
        std::array::from_fn(|value| {
            let index = usize::from(class_of[value]);
            let level = i32::from(self.classes[index].gray);
            let offset = value as i32 - level;
            let neighbour = if offset < 0 { index.checked_sub(1) } else { Some(index + 1) };
            let gap = neighbour
                .and_then(|n| self.classes.get(n))
                .map_or(i32::from(self.classes[1].gray), |class| (i32::from(class.gray) - level).abs());
            4 * offset.abs() > gap
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn brats_gray_levels_decode_by_the_studys_thresholds() {
        let class_of = LabelScheme::brats().decode_gray();
        for value in 0..=255u8 {
            let r = f64::from(value) * 5.0 / 255.0;
            let expected = match r {
                r if r > 3.0 => 3,
                r if r > 1.5 => 2,
                r if r > 0.5 => 1,
                _ => 0,
            };
            assert_eq!(class_of[usize::from(value)], expected, "grey level {value}");
        }
    }

    #[test]
    fn levels_are_clean_and_halfway_values_are_not() {
        let scheme = LabelScheme::brats();
        let unclean = scheme.unclean_gray();
        assert!(scheme.classes.iter().all(|class| !unclean[usize::from(class.gray)]));
        for halfway in [25, 26, 76, 77, 150, 160] {
            assert!(unclean[halfway], "{halfway} is between two levels");
        }
        assert!(unclean[250], "far above the highest level");
    }

    #[test]
    fn invalid_schemes_are_refused() {
        let broken = |change: fn(&mut LabelScheme)| {
            let mut scheme = LabelScheme::brats();
            change(&mut scheme);
            scheme.validate()
        };
        assert_eq!(LabelScheme::brats().validate(), Ok(()));
        assert!(broken(|s| s.classes.truncate(1)).is_err());
        assert!(broken(|s| s.classes[0].gray = 1).is_err());
        assert!(broken(|s| s.classes[2].gray = 51).is_err());
        assert!(broken(|s| s.classes[2].source_values.push(1)).is_err());
        assert!(broken(|s| s.classes[2].name = "NCR".into()).is_err());
        assert!(broken(|s| s.regions[0].classes.push(9)).is_err());
    }

    #[test]
    fn rejects_more_classes_than_gray_levels_can_hold_apart() {
        let mut scheme = LabelScheme::brats();
        for i in 0..crate::limits::LABEL_CLASSES as u8 {
            scheme.classes.push(Class {
                name: format!("c{i}"),
                source_values: vec![100 + i32::from(i)],
                gray: 205 + i,
                rgb: [0; 3],
            });
        }
        assert!(scheme.validate().is_err());
    }
}

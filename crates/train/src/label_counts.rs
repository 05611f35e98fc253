//! What the annotations of a set look like: counts over label maps.

use std::collections::BTreeMap;

use synthmr_core::LabelScheme;
use synthmr_core::records::LabelQuality;

/// Counts behind a [`LabelQuality`].
#[derive(Default)]
pub(crate) struct LabelCounts {
    images: u64,
    empty: u64,
    pixels: u64,
    unclean: u64,
    by_class: BTreeMap<u8, u64>,
}

impl LabelCounts {
    /// Adds the label map of one image.
    pub(crate) fn add(&mut self, label: &[u8]) {
        let mut counts = [0u64; 256];
        label.iter().for_each(|&class| counts[usize::from(class)] += 1);
        self.images += 1;
        self.empty += u64::from(counts[0] == label.len() as u64);
        self.pixels += label.len() as u64;
        for (class, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
            *self.by_class.entry(class as u8).or_default() += count;
        }
    }

    /// Adds the marks of one image's pixels whose value was far from every class: 1 for such a pixel, else 0.
    pub(crate) fn add_unclean(&mut self, marks: &[u8]) {
        self.unclean += marks.iter().map(|&mark| u64::from(mark)).sum::<u64>();
    }

    /// Images so far.
    pub(crate) fn images(&self) -> u64 {
        self.images
    }

    /// The shares, with the names of the scheme's classes.
    pub(crate) fn quality(&self, scheme: &LabelScheme) -> LabelQuality {
        let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let of_class = |index: usize| self.by_class.get(&(index as u8)).copied().unwrap_or(0);
        let classes = scheme.classes.iter().enumerate();
        LabelQuality {
            unclean_share: share(self.unclean, self.pixels),
            empty_share: share(self.empty, self.images),
            class_share: classes
                .map(|(index, class)| (class.name.clone(), share(of_class(index), self.pixels)))
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_of_pixels_and_of_images() {
        let mut counts = LabelCounts::default();
        counts.add(&[0, 0, 1, 3]);
        counts.add(&[0, 0, 0, 0]);
        counts.add_unclean(&[0, 1, 0, 0]);
        assert_eq!(counts.images(), 2);
        let quality = counts.quality(&LabelScheme::brats());
        assert_eq!((quality.unclean_share, quality.empty_share), (0.125, 0.5));
        assert_eq!((quality.class_share["background"], quality.class_share["NCR"]), (0.75, 0.125));
        assert_eq!((quality.class_share["ED"], quality.class_share["ET"]), (0.0, 0.125));
    }
}

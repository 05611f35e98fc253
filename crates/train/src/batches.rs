//! The order in which training sees its images: a pure function of (seed, position), so that a resumed run
//! continues with the same batches.

use synthmr_core::random::{self, Draw, Stream};

/// Endless passes over a list of slices, shuffled anew in every pass.
pub(crate) struct BatchOrder {
    seed: u64,
    indices: Vec<u32>,
    pass: u64,
    shuffled: Vec<u32>,
}

impl BatchOrder {
    /// An order over `indices`, which must not be empty.
    ///
    /// # Panics
    /// When `indices` is empty.
    pub(crate) fn new(seed: u64, indices: Vec<u32>) -> Self {
        assert!(!indices.is_empty(), "training needs at least one slice");
        let mut order = Self { seed, shuffled: Vec::new(), indices, pass: 0 };
        order.shuffle(0);
        order
    }

    fn shuffle(&mut self, pass: u64) {
        self.pass = pass;
        self.shuffled.clone_from(&self.indices);
        random::rng(self.seed, Stream::Order, pass).shuffle(&mut self.shuffled);
    }

    /// The `count` slices at positions `start..start + count` of the endless sequence.
    pub(crate) fn batch(&mut self, start: u64, count: usize) -> Vec<u32> {
        let length = self.indices.len() as u64;
        (start..start + count as u64)
            .map(|position| {
                let pass = position / length;
                if pass != self.pass {
                    self.shuffle(pass);
                }
                self.shuffled[(position % length) as usize]
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pass_shows_every_slice_once() {
        let mut order = BatchOrder::new(1, (10..15).collect());
        for pass in 0..3 {
            let mut seen = order.batch(pass * 5, 5);
            seen.sort_unstable();
            assert_eq!(seen, [10, 11, 12, 13, 14]);
        }
    }

    #[test]
    fn a_position_has_one_slice_whatever_was_asked_before() {
        let whole = BatchOrder::new(3, (0..7).collect()).batch(0, 40);
        let mut resumed = BatchOrder::new(3, (0..7).collect());
        assert_eq!(resumed.batch(24, 8), whole[24..32]);
        assert_eq!(resumed.batch(3, 2), whole[3..5]);
    }
}

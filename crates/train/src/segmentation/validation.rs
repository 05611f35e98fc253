//! Dice of hard predictions, counted over many slices.

use tch::{Kind, Tensor};

/// Pixels of each class in truth, prediction and both, over all slices added so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiceCounts {
    both: Vec<i64>,
    truth: Vec<i64>,
    predicted: Vec<i64>,
}

impl DiceCounts {
    /// Nothing counted, for `classes` classes with the background.
    pub fn new(classes: usize) -> Self {
        Self { both: vec![0; classes], truth: vec![0; classes], predicted: vec![0; classes] }
    }

    /// Adds class maps of equal shape, any integer kind, on one device.
    pub fn add(&mut self, truth: &Tensor, predicted: &Tensor) {
        for class in 0..self.both.len() {
            let (t, p) = (truth.eq(class as i64), predicted.eq(class as i64));
            let count = |mask: &Tensor| mask.sum(Kind::Int64).int64_value(&[]);
            self.both[class] += count(&t.logical_and(&p));
            self.truth[class] += count(&t);
            self.predicted[class] += count(&p);
        }
    }

    /// Dice of each foreground class, from class 1 on; none for a class that is neither there nor predicted.
    pub fn foreground(&self) -> Vec<Option<f64>> {
        (1..self.both.len())
            .map(|class| {
                let sum = self.truth[class] + self.predicted[class];
                (sum > 0).then(|| 2.0 * self.both[class] as f64 / sum as f64)
            })
            .collect()
    }

    /// The mean over the foreground classes that have a Dice; none when no class has.
    pub fn mean(&self) -> Option<f64> {
        let dice: Vec<f64> = self.foreground().into_iter().flatten().collect();
        (!dice.is_empty()).then(|| dice.iter().sum::<f64>() / dice.len() as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_add_up_over_slices_and_empty_classes_are_left_out() {
        let map = |values: [u8; 4]| Tensor::from_slice(&values).view([1, 2, 2]);
        let mut counts = DiceCounts::new(4);
        assert_eq!(counts.mean(), None);
        counts.add(&map([0, 1, 1, 2]), &map([0, 1, 0, 0]));
        counts.add(&map([0, 1, 0, 0]), &map([1, 1, 0, 0]));
        // Class 1: in both 2, truth 3, predicted 3; class 2: truth only; class 3: nowhere.
        assert_eq!(counts.foreground(), [Some(2.0 / 3.0), Some(0.0), None]);
        assert_eq!(counts.mean(), Some(1.0 / 3.0));
    }
}

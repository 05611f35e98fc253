//! Minibatch standard deviation (Karras et al. 2018, section 3): shows a discriminator how varied a batch is.

use tch::{Kind, Tensor};

/// Appends one channel that holds, for each group of at most `group` samples, the mean over features and
/// pixels of the standard deviation within the group: `[n, c, h, w] -> [n, c + 1, h, w]`.
///
/// The batch is made of `batches` equal parts that must not see one another (real and generated images
/// judged in one pass); groups are formed inside each. Samples `m, m + M, m + 2 M, ...` of a part of
/// `group * M` samples form a group, as in the reference implementation.
///
/// # Panics
/// When a part is neither smaller than `group` nor a multiple of it.
pub fn minibatch_standard_deviation(x: &Tensor, group: i64, batches: i64) -> Tensor {
    let size = x.size();
    let (n, c, h, w) = (size[0], size[1], size[2], size[3]);
    assert!(n % batches == 0, "{n} samples do not divide into {batches} equal parts");
    let part = n / batches;
    let group = group.min(part);
    assert!(part % group == 0, "{part} samples do not divide into groups of {group}");
    // [batches, group, groups, c, h, w]
    let y = x.to_kind(if x.kind() == Kind::Double { Kind::Double } else { Kind::Float });
    let y = y.view([batches, group, part / group, c, h, w]);
    let centred = &y - y.mean_dim([1i64].as_slice(), true, y.kind());
    let deviation = (centred.square().mean_dim([1i64].as_slice(), false, y.kind()) + 1e-8).sqrt();
    let mean = deviation.mean_dim([2i64, 3, 4].as_slice(), true, y.kind());
    let plane = mean.unsqueeze(1).expand([batches, group, part / group, 1, h, w], false);
    Tensor::cat(&[x, &plane.reshape([n, 1, h, w]).to_kind(x.kind())], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Device;

    #[test]
    fn parts_do_not_see_one_another_and_groups_are_strided() {
        let x = Tensor::from_slice(&[0f64, 10.0, 2.0, 30.0, 5.0, 5.0, 5.0, 5.0]).view([8, 1, 1, 1]);
        let y = minibatch_standard_deviation(&x, 2, 2);
        let deviations: Vec<f64> = (0..8).map(|i| y.double_value(&[i, 1, 0, 0])).collect();
        // First part: groups {0, 2} and {10, 30}; second part: constant.
        let expected = [1.0, 10.0, 1.0, 10.0, 1e-4, 1e-4, 1e-4, 1e-4];
        for (found, expected) in deviations.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-6, "{deviations:?}");
        }
        let one = minibatch_standard_deviation(&Tensor::ones([3, 2, 4, 4], (Kind::Float, Device::Cpu)), 4, 1);
        assert_eq!(one.size(), [3, 3, 4, 4]);
    }
}

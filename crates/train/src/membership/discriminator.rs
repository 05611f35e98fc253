//! Membership by the discriminator: one that has learnt its training images by heart finds them more real than others
//! (Hayes, Melis, Danezis and De Cristofaro, "LOGAN: membership inference attacks against generative models", PoPETs 2019).

use synthmr_nets::generators::gan::Discriminator;
use synthmr_nets::generators::growing::halved;
use synthmr_nets::layers::gaussian_blur;
use tch::Tensor;

use super::{Attack, MembershipScores, values};

/// Width of the filter that takes away what is particular to an image, in pixels.
const BLUR: f64 = 1.0;

/// What a discriminator says.
pub(super) struct DiscriminatorScore(Box<dyn Discriminator>);

impl DiscriminatorScore {
    pub(super) fn new(discriminator: Box<dyn Discriminator>) -> Self {
        Self(discriminator)
    }

    /// Logits `[n]`. Each image is a batch of its own, so that none sees the others.
    fn judge(&self, images: &Tensor) -> Tensor {
        let side = self.0.growing().map_or(images.size()[2], |growing| growing.grown().side());
        let mut images = images.shallow_clone();
        while images.size()[2] > side {
            images = halved(&images);
        }
        self.0.judge(&images, images.size()[0]).flatten(0, -1)
    }
}

impl MembershipScores for DiscriminatorScore {
    fn attacks(&self) -> Vec<Attack> {
        vec![
            Attack::new("discriminator", "the discriminator's logit of an image"),
            Attack::new(
                "discriminator, calibrated",
                "the discriminator's logit of an image less that of the image slightly blurred",
            ),
        ]
    }

    fn scores(&self, images: &Tensor) -> Vec<Vec<f64>> {
        tch::no_grad(|| {
            let logit = self.judge(images);
            let blurred = self.judge(&gaussian_blur(images, BLUR));
            vec![values(&logit), values(&(&logit - blurred))]
        })
    }
}

//! Between stored slices and what a generator sees: planes in [-1, 1], contrasts first, then the annotation
//! as one grey plane or one plane a class.

use synthmr_core::{LabelEncoding, LabelScheme};
use tch::{Device, Kind, Tensor};

/// Encodes slices as planes and decodes planes as slices.
pub struct Planes {
    channels: i64,
    scheme: LabelScheme,
    encoding: LabelEncoding,
    /// Value in [-1, 1] of every class, `[classes]`.
    levels: Tensor,
    class_of_gray: Tensor,
    unclean_gray: Tensor,
}

/// Slices decoded from planes.
pub struct DecodedSlices {
    /// u8 `[n, c, h, w]`.
    pub images: Tensor,
    /// Class indices, u8 `[n, h, w]`.
    pub labels: Tensor,
    /// Pixels whose value is far from every class: bool `[n, h, w]`.
    pub unclean: Tensor,
}

/// With one plane a class in [-1, 1], a pixel is unclean when its two largest planes are nearer to each
/// other than half the distance of a clean pixel's.
const UNCLEAN_MARGIN: f64 = 1.0;

impl Planes {
    /// A codec for `channels` contrasts and the classes of `scheme`.
    pub fn new(channels: usize, scheme: &LabelScheme, encoding: LabelEncoding, device: Device) -> Self {
        let levels: Vec<f32> = scheme.classes.iter().map(|c| f32::from(c.gray) / 127.5 - 1.0).collect();
        let unclean: Vec<u8> = scheme.unclean_gray().iter().map(|&unclean| u8::from(unclean)).collect();
        Self {
            channels: channels as i64,
            scheme: scheme.clone(),
            encoding,
            levels: Tensor::from_slice(&levels).to_device(device),
            class_of_gray: Tensor::from_slice(&scheme.decode_gray()).to_device(device),
            unclean_gray: Tensor::from_slice(&unclean).to_kind(Kind::Bool).to_device(device),
        }
    }

    /// Number of planes in all.
    pub fn count(&self) -> i64 {
        self.channels + self.scheme.planes(self.encoding) as i64
    }

    /// Number of planes that carry contrasts; they come first.
    pub fn image_count(&self) -> i64 {
        self.channels
    }

    /// Device of what is encoded.
    pub fn device(&self) -> Device {
        self.levels.device()
    }

    /// u8 `[n, c, h, w]` and class indices u8 `[n, h, w]` to f32 `[n, planes, h, w]`: x / 127.5 - 1.
    pub fn encode(&self, images: &Tensor, labels: &Tensor) -> Tensor {
        let images = images.to_kind(Kind::Float) * (1.0 / 127.5) - 1.0;
        let index = labels.to_kind(Kind::Int64);
        let annotation = match self.encoding {
            LabelEncoding::Gray => {
                self.levels.index_select(0, &index.flatten(0, -1)).view_as(&index).unsqueeze(1)
            }
            LabelEncoding::Onehot => {
                let classes = self.scheme.class_count() as i64;
                index.one_hot(classes).permute([0, 3, 1, 2]).to_kind(Kind::Float) * 2.0 - 1.0
            }
        };
        Tensor::cat(&[images, annotation], 1)
    }

    /// f32 `[n, planes, h, w]` to slices; u8 = x * 127.5 + 128, truncated and clamped, as in the study.
    pub fn decode(&self, planes: &Tensor) -> DecodedSlices {
        let images = to_bytes(&planes.narrow(1, 0, self.channels));
        let annotation = planes.narrow(1, self.channels, self.count() - self.channels);
        let (labels, unclean) = match self.encoding {
            LabelEncoding::Gray => {
                let gray = to_bytes(&annotation.squeeze_dim(1));
                let index = gray.to_kind(Kind::Int64).flatten(0, -1);
                let pick = |table: &Tensor| table.index_select(0, &index).view_as(&gray);
                (pick(&self.class_of_gray), pick(&self.unclean_gray))
            }
            LabelEncoding::Onehot => {
                let (top, index) = annotation.topk(2, 1, true, true);
                let margin = top.select(1, 0) - top.select(1, 1);
                (index.select(1, 0).to_kind(Kind::Uint8), margin.lt(UNCLEAN_MARGIN))
            }
        };
        DecodedSlices { images, labels, unclean }
    }
}

/// [-1, 1] to 0..=255.
fn to_bytes(x: &Tensor) -> Tensor {
    (x * 127.5 + 128.0).clamp(0.0, 255.0).to_kind(Kind::Uint8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_survives_both_encodings() {
        let images =
            Tensor::arange(256, (Kind::Uint8, Device::Cpu)).view([1, 1, 16, 16]).repeat([1, 4, 1, 1]);
        let labels = (Tensor::arange(256, (Kind::Int64, Device::Cpu)).remainder(4)).to_kind(Kind::Uint8);
        let labels = labels.view([1, 16, 16]);
        for (encoding, planes) in [(LabelEncoding::Gray, 5), (LabelEncoding::Onehot, 8)] {
            let codec = Planes::new(4, &LabelScheme::brats(), encoding, Device::Cpu);
            let encoded = codec.encode(&images, &labels);
            assert_eq!(encoded.size(), [1, planes, 16, 16]);
            assert!(encoded.abs().max().double_value(&[]) <= 1.0);
            let decoded = codec.decode(&encoded);
            assert_eq!(decoded.images, images);
            assert_eq!(decoded.labels, labels);
            assert_eq!(decoded.unclean.any().int64_value(&[]), 0);
        }
    }

    #[test]
    fn undecided_pixels_are_unclean() {
        let codec = Planes::new(1, &LabelScheme::brats(), LabelEncoding::Onehot, Device::Cpu);
        let planes = Tensor::from_slice(&[0.0f32, -1.0, 0.1, -1.0, -1.0]).view([1, 5, 1, 1]);
        let decoded = codec.decode(&planes);
        assert_eq!(decoded.labels.int64_value(&[0, 0, 0]), 1);
        assert_eq!(decoded.unclean.int64_value(&[0, 0, 0]), 0);
        let planes = Tensor::from_slice(&[0.0f32, 0.2, 0.1, -1.0, -1.0]).view([1, 5, 1, 1]);
        assert_eq!(codec.decode(&planes).unclean.int64_value(&[0, 0, 0]), 1);
        let gray = Planes::new(1, &LabelScheme::brats(), LabelEncoding::Gray, Device::Cpu);
        let halfway = Tensor::from_slice(&[0.0f32, 76.5 / 127.5 - 1.0]).view([1, 2, 1, 1]);
        assert_eq!(gray.decode(&halfway).unclean.int64_value(&[0, 0, 0]), 1);
    }
}

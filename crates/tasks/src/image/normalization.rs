//! Values of a model for the values of pixels.

use serde::Deserialize;

/// Means of the channels of `ImageNet`, between 0 and 1.
const IMAGENET_MEAN: [f64; 3] = [0.485, 0.456, 0.406];

/// Their standard deviations.
const IMAGENET_STD: [f64; 3] = [0.229, 0.224, 0.225];

/// Values of a channel for each value of its pixels.
///
/// The steps and their precision are those of transformers, so that no bit differs.
#[derive(Debug, Clone, PartialEq)]
pub struct Normalization {
    /// The factor of pixels. None if they stay between 0 and 255.
    pub factor: Option<f64>,
    /// Whether 1 is subtracted then.
    pub offset: bool,
    /// Mean and standard deviation. None if they aren't normalized.
    pub distribution: Option<Distribution>,
    /// Whether values are divided by the standard deviation once more.
    pub twice: bool,
}

/// Distribution of the values of channels in a set of images.
#[derive(Debug, Clone, PartialEq)]
pub struct Distribution {
    /// Means.
    pub mean: Channels,
    /// Standard deviations.
    pub std: Channels,
}

/// One number for all channels, or one for each.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Channels {
    /// A number for all channels.
    All(f64),
    /// A number for each channel.
    Each(Vec<f64>),
}

impl Channels {
    /// The number for a channel.
    fn get(&self, channel: usize) -> Option<f32> {
        // numpy rounds them to the type of the image, too.
        #[expect(clippy::cast_possible_truncation, reason = "the nearest float")]
        let narrow = |value: f64| value as f32;
        match self {
            Self::All(value) => Some(narrow(*value)),
            Self::Each(values) => values.get(channel).copied().map(narrow),
        }
    }

    /// Whether there are numbers for this many channels, all of them `allowed`.
    #[must_use]
    pub fn is_valid(&self, channels: usize, allowed: impl Fn(f32) -> bool) -> bool {
        let count = match self {
            Self::All(_) => channels,
            Self::Each(values) => values.len(),
        };
        count == channels && (0..channels).all(|channel| self.get(channel).is_some_and(&allowed))
    }
}

impl Normalization {
    /// The normalization of most models of `ImageNet`.
    #[must_use]
    pub fn imagenet() -> Self {
        Self {
            factor: Some(1.0 / 255.0),
            offset: false,
            distribution: Some(Distribution {
                mean: Channels::Each(IMAGENET_MEAN.to_vec()),
                std: Channels::Each(IMAGENET_STD.to_vec()),
            }),
            twice: false,
        }
    }

    /// The value of a channel for each value of its pixels.
    #[must_use]
    pub fn values(&self, channel: usize) -> [f32; 256] {
        std::array::from_fn(|pixel| self.value(channel, pixel))
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_precision_loss,
        reason = "transformers multiplies as double and keeps a float"
    )]
    fn value(&self, channel: usize, pixel: usize) -> f32 {
        let mut value = match self.factor {
            Some(factor) => (pixel as f64 * factor) as f32,
            None => pixel as f32,
        };
        if self.offset {
            value -= 1.0;
        }
        if let Some(Distribution { mean, std }) = &self.distribution {
            let (mean, std) = (
                mean.get(channel).unwrap_or(0.0),
                std.get(channel).unwrap_or(1.0),
            );
            value = (value - mean) / std;
            if self.twice {
                value /= std;
            }
        }
        value
    }
}

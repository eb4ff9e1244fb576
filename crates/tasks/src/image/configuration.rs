//! How images are prepared for a model: `preprocessor_config.json`.

use serde::Deserialize;

use crate::folder::{FolderError, ModelFolder};
use crate::image::geometry::{Geometry, Scaling};
use crate::image::normalization::{Channels, Distribution, Normalization};
use crate::image::resample::{Filter, Size};

/// Configuration of image preparation that transformers wrote.
const FILE: &str = "preprocessor_config.json";

/// Maximum length of a side of an image for a model.
const MAX_SIDE: u64 = 4096;

/// How images are prepared.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageConfiguration {
    /// Scaling and cropping.
    pub geometry: Geometry,
    /// From the values of pixels to those of the model.
    pub normalization: Normalization,
    /// Whether the channels are blue, green, red.
    pub bgr: bool,
}

/// The fields as they are written. Those for training, for other tasks and for storage are left out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Written {
    crop_pct: Option<f64>,
    crop_size: Option<WrittenSize>,
    do_center_crop: Option<bool>,
    do_flip_channel_order: Option<bool>,
    do_normalize: Option<bool>,
    do_pad: Option<bool>,
    do_rescale: Option<bool>,
    do_resize: Option<bool>,
    do_thumbnail: Option<bool>,
    feature_extractor_type: Option<String>,
    image_mean: Option<Channels>,
    image_processor_type: Option<String>,
    image_std: Option<Channels>,
    include_top: Option<bool>,
    resample: Option<u64>,
    rescale_factor: Option<f64>,
    rescale_offset: Option<bool>,
    size: Option<WrittenSize>,
    size_divisor: Option<u64>,
}

/// A size: `224`, `[224, 224]`, `{"height": 224, "width": 224}` or `{"shortest_edge": 224}`.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(untagged)]
enum WrittenSize {
    Side(u64),
    Sides([u64; 2]),
    Fields {
        height: Option<u64>,
        width: Option<u64>,
        shortest_edge: Option<u64>,
        longest_edge: Option<u64>,
    },
}

/// Image processors whose steps differ from the others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Processor {
    /// The steps that the fields say.
    Other,
    /// A single number as size is the shorter side.
    ShortestEdge,
    /// A part of a larger image below 384 pixels, and the whole image above.
    ConvNext,
    /// The shorter side gets 256/224 of the size.
    Levit,
    /// Normalized twice.
    EfficientNet,
    /// Blue, green, red, without a normalization.
    MobileVit,
}

impl Processor {
    /// The processor with a name in transformers: `ConvNextImageProcessor`, `ViTFeatureExtractor`. None if its steps
    /// are others than the fields say.
    fn named(name: &str) -> Option<Self> {
        let name = name.strip_suffix("Fast").unwrap_or(name);
        let name = name
            .strip_suffix("ImageProcessor")
            .or_else(|| name.strip_suffix("FeatureExtractor"));
        Some(match name? {
            "ConvNext" | "ConvNeXT" | "ConvNeXt" => Self::ConvNext,
            "Levit" | "LeViT" => Self::Levit,
            "EfficientNet" => Self::EfficientNet,
            "MobileViT" | "MobileVit" => Self::MobileVit,
            "Bit" | "CLIP" | "MobileNetV1" | "MobileNetV2" | "PoolFormer" => Self::ShortestEdge,
            "Donut" | "ImageGPT" | "Perceiver" | "Siglip2" | "TextNet" | "TimmWrapper" => {
                return None;
            }
            _ => Self::Other,
        })
    }
}

impl ImageConfiguration {
    /// Whether a model's folder has a configuration of images.
    ///
    /// # Errors
    /// When the file can't be read.
    pub fn is_declared(folder: &ModelFolder) -> Result<bool, FolderError> {
        let written = folder.json::<Written>(FILE)?;
        Ok(written.is_some_and(|written| written.is_of_images()))
    }

    /// The configuration in a model's folder, for images of this many channels. None if there is no
    /// `preprocessor_config.json`, or if it isn't one of images.
    ///
    /// # Errors
    /// When the file can't be read, a field has an impossible value, or steps aren't supported.
    pub fn read(folder: &ModelFolder, channels: usize) -> Result<Option<Self>, FolderError> {
        let Some(written) = folder.json::<Written>(FILE)? else {
            return Ok(None);
        };
        if !written.is_of_images() {
            return Ok(None);
        }
        let read = written.read(channels);
        read.map(Some)
            .map_err(|problem| FolderError::new(FILE, problem))
    }

    /// The configuration of most models of `ImageNet`, for an input of this size: the middle 7/8 of the shorter side.
    #[must_use]
    pub fn imagenet(input: Size) -> Self {
        // 256 for 224, and 342 for 299, as torchvision has it.
        let shortest_edge = (input.width.max(input.height) * 256 + 112) / 224;
        Self {
            geometry: Geometry {
                scaling: Scaling::ShortestEdge(shortest_edge),
                filter: Filter::Bilinear,
                crop: Some(input),
            },
            normalization: Normalization::imagenet(),
            bgr: false,
        }
    }
}

impl Written {
    /// Models of sounds have a file of the same name.
    const fn is_of_images(&self) -> bool {
        self.size.is_some() || self.crop_size.is_some() || self.image_mean.is_some()
    }

    fn read(self, channels: usize) -> Result<ImageConfiguration, &'static str> {
        let name = self
            .image_processor_type
            .as_deref()
            .or(self.feature_extractor_type.as_deref());
        let processor = match name {
            Some(name) => {
                Processor::named(name).ok_or("its type of image processor isn't supported")?
            }
            None => Processor::Other,
        };
        for (field, problem) in [
            (self.do_pad, "do_pad isn't supported"),
            (self.do_thumbnail, "do_thumbnail isn't supported"),
            (
                self.size_divisor.map(|_| true),
                "size_divisor isn't supported",
            ),
        ] {
            if field == Some(true) {
                return Err(problem);
            }
        }
        let bgr = self
            .do_flip_channel_order
            .unwrap_or(processor == Processor::MobileVit);
        Ok(ImageConfiguration {
            geometry: self.geometry(processor)?,
            normalization: self.normalization(processor, channels)?,
            bgr: bgr && channels > 1,
        })
    }

    fn geometry(&self, processor: Processor) -> Result<Geometry, &'static str> {
        let number = self.resample.unwrap_or(2);
        let filter = Filter::numbered(number).ok_or("resample is no filter of Pillow")?;
        // Older files have a size for a crop without the switch.
        let mut crop = match (self.do_center_crop, self.crop_size) {
            (Some(true), None) => return Err("crop_size is missing"),
            (None | Some(true), Some(size)) => match size.scaling(Processor::Other)? {
                Scaling::Exact(size) => Some(size),
                Scaling::None | Scaling::ShortestEdge(_) => {
                    return Err("crop_size has no height and width");
                }
            },
            (Some(false), _) | (None, None) => None,
        };
        let scaling = match self.size {
            _ if self.do_resize == Some(false) => Scaling::None,
            None => return Err("size is missing"),
            Some(size) => match (size.scaling(processor)?, self.crop_pct) {
                (Scaling::ShortestEdge(side), part) if processor == Processor::ConvNext => {
                    let square = Size {
                        width: side,
                        height: side,
                    };
                    if side < 384 {
                        crop = Some(square);
                        Scaling::ShortestEdge(divided(side, part.unwrap_or(0.875))?)
                    } else {
                        Scaling::Exact(square)
                    }
                }
                (Scaling::ShortestEdge(side), _) if processor == Processor::Levit => {
                    Scaling::ShortestEdge(rounded_down(256.0 / 224.0 * length(side))?)
                }
                (Scaling::ShortestEdge(side), Some(part)) => {
                    Scaling::ShortestEdge(divided(side, part)?)
                }
                (Scaling::Exact(Size { width, height }), Some(part)) if width == height => {
                    Scaling::ShortestEdge(divided(width, part)?)
                }
                (Scaling::Exact(Size { width, height }), Some(part)) => Scaling::Exact(Size {
                    width: divided(width, part)?,
                    height: divided(height, part)?,
                }),
                (scaling, None) | (scaling @ Scaling::None, _) => scaling,
            },
        };
        Ok(Geometry {
            scaling,
            filter,
            crop,
        })
    }

    fn normalization(
        self,
        processor: Processor,
        channels: usize,
    ) -> Result<Normalization, &'static str> {
        let factor = self.rescale_factor.unwrap_or(1.0 / 255.0);
        if !factor.is_finite() {
            return Err("rescale_factor is no finite number");
        }
        let rescaled = self.do_rescale.unwrap_or(true);
        let normalized = self
            .do_normalize
            .unwrap_or(processor != Processor::MobileVit);
        let efficient = processor == Processor::EfficientNet;
        let twice = efficient && self.include_top.unwrap_or(true);
        let distribution = if normalized || twice {
            // The second time has no mean.
            let mean = if normalized {
                self.image_mean
            } else {
                Some(Channels::All(0.0))
            };
            let mean = mean.ok_or("image_mean is missing")?;
            let std = self.image_std.ok_or("image_std is missing")?;
            if !mean.is_valid(channels, f32::is_finite) {
                return Err("image_mean is not one finite number for each channel of the model");
            }
            if !std.is_valid(channels, |value| value.is_finite() && value != 0.0) {
                return Err(
                    "image_std is not one finite number but 0 for each channel of the model",
                );
            }
            Some(Distribution { mean, std })
        } else {
            None
        };
        Ok(Normalization {
            factor: rescaled.then_some(factor),
            offset: rescaled && efficient && self.rescale_offset.unwrap_or(false),
            distribution,
            twice: normalized && twice,
        })
    }
}

impl WrittenSize {
    fn scaling(self, processor: Processor) -> Result<Scaling, &'static str> {
        let is_square = matches!(processor, Processor::Other | Processor::EfficientNet);
        let sides = match self {
            Self::Side(side) if is_square => [Some(side), Some(side), None, None],
            Self::Side(side) => [None, None, Some(side), None],
            Self::Sides([height, width]) => [Some(height), Some(width), None, None],
            Self::Fields {
                height,
                width,
                shortest_edge,
                longest_edge,
            } => [height, width, shortest_edge, longest_edge],
        };
        match sides {
            [Some(height), Some(width), None, None] => {
                let (width, height) = (bounded(width)?, bounded(height)?);
                Ok(Scaling::Exact(Size { width, height }))
            }
            [None, None, Some(side), None] => Ok(Scaling::ShortestEdge(bounded(side)?)),
            _ => Err("a size has neither height and width nor shortest_edge alone"),
        }
    }
}

/// A side that is possible.
fn bounded(side: u64) -> Result<usize, &'static str> {
    let side = Some(side).filter(|side| (1..=MAX_SIDE).contains(side));
    side.and_then(|side| usize::try_from(side).ok())
        .ok_or("a size is 0 or above 4096")
}

/// A side of the image of which another side is a part.
fn divided(side: usize, part: f64) -> Result<usize, &'static str> {
    if part > 0.0 && part <= 1.0 {
        rounded_down(length(side) / part)
    } else {
        Err("crop_pct is not between 0 and 1")
    }
}

#[expect(clippy::cast_precision_loss, reason = "sides have few digits")]
fn length(side: usize) -> f64 {
    side as f64
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "casts of floats stay in the range of the type, which is checked"
)]
fn rounded_down(side: f64) -> Result<usize, &'static str> {
    bounded(side as u64)
}

#[cfg(test)]
mod tests;

//! The input of a model of images.

use springtide_inference::{Dimension, ElementType, Port, Signature};

use crate::image::error::ImageModelError;

/// Order of a batch's dimensions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// `[N, channels, height, width]`.
    ChannelsFirst,
    /// `[N, height, width, channels]`.
    ChannelsLast,
}

/// Types of elements that an input of images has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pixel {
    /// 32-bit floats.
    F32,
    /// 16-bit floats.
    F16,
    /// Bytes: the model normalizes them itself.
    U8,
}

/// A model's input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageInput {
    /// Its name and shape, for messages: `pixel_values float32[N, 3, 224, 224]`.
    pub declaration: String,
    /// Order of its dimensions.
    pub layout: Layout,
    /// Number of channels: 3, or 1 for gray.
    pub channels: usize,
    /// Its type.
    pub pixel: Pixel,
    /// Height. None if it is free.
    pub height: Option<usize>,
    /// Width. None if it is free.
    pub width: Option<usize>,
}

impl ImageInput {
    /// The input of a signature. `transformers` is whether transformers exported the model, and its number of channels
    /// if known: exporters of transformers often leave all dimensions free, in the order of channels first.
    ///
    /// # Errors
    /// When there are several inputs, or when it isn't one of images.
    pub fn of(signature: &Signature, transformers: Option<usize>) -> Result<Self, ImageModelError> {
        let mut inputs = signature.required_inputs();
        let (Some(port), None) = (inputs.next(), inputs.next()) else {
            return Err(ImageModelError::Inputs(signature.required_inputs().count()));
        };
        let unsuitable = || ImageModelError::Input(port.to_string());
        let Some(&[_, first, second, third]) = port.shape.as_deref() else {
            return Err(unsuitable());
        };
        let pixel = pixel(port).ok_or_else(unsuitable)?;
        let channels = |dimension| match dimension {
            Dimension::Fixed(channels @ (1 | 3)) => Some(channels),
            _ => None,
        };
        let (layout, channels) = match (channels(first), channels(third), transformers) {
            // A height or width of 1 or 3 is no useful image, but a test may have one.
            (Some(channels), _, Some(_)) | (Some(channels), None, None) => {
                (Layout::ChannelsFirst, channels)
            }
            (None, Some(channels), _) => (Layout::ChannelsLast, channels),
            (None, None, Some(channels)) if first == Dimension::Any => {
                (Layout::ChannelsFirst, channels)
            }
            (None, None, None) if first == Dimension::Any || third == Dimension::Any => {
                return Err(ImageModelError::UnknownChannels(port.to_string()));
            }
            _ => return Err(unsuitable()),
        };
        let length = |dimension| match dimension {
            Dimension::Fixed(length) => Some(length),
            Dimension::Any => None,
        };
        let (height, width) = match layout {
            Layout::ChannelsFirst => (length(second), length(third)),
            Layout::ChannelsLast => (length(first), length(second)),
        };
        if height == Some(0) || width == Some(0) || !matches!(channels, 1 | 3) {
            return Err(unsuitable());
        }
        Ok(Self {
            declaration: port.to_string(),
            layout,
            channels,
            pixel,
            height,
            width,
        })
    }
}

fn pixel(port: &Port) -> Option<Pixel> {
    match port.element()? {
        ElementType::F32 => Some(Pixel::F32),
        ElementType::F16 => Some(Pixel::F16),
        ElementType::U8 => Some(Pixel::U8),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

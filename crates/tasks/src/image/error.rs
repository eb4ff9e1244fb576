//! Images and models that are refused.

use crate::folder::FolderError;
use crate::image::format::Format;

/// An image that can't be used. All of these are mistakes of the client.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It has more bytes than allowed.
    #[error("the image has {bytes} bytes, more than the {max} that are allowed")]
    TooManyBytes {
        /// Its bytes.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// It is no JPEG, PNG or WebP file.
    #[error("the image is no JPEG, PNG or WebP file")]
    UnknownFormat,
    /// It has more pixels than allowed.
    #[error("the image has {width}x{height} pixels, more than the {max} that are allowed")]
    TooManyPixels {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
        /// The limit.
        max: u64,
    },
    /// Its longer side is too long, or would be at the size that the model needs.
    #[error("the image has {width}x{height} pixels: it is too elongated")]
    TooElongated {
        /// Its width.
        width: u32,
        /// Its height.
        height: u32,
    },
    /// The file is damaged, incomplete, or uses a rare part of its format.
    #[error("the {format} image can't be decoded: {problem}")]
    Malformed {
        /// Its format.
        format: Format,
        /// The problem.
        problem: String,
    },
}

/// A model whose images can't be prepared.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageModelError {
    /// A file beside the model can't be used.
    #[error(transparent)]
    Folder(#[from] FolderError),
    /// Neither a file beside the model nor the ModelService says that it takes images.
    #[error(
        "preprocessor_config.json is missing, and so is labels.txt: nothing says how the model takes images"
    )]
    Undeclared,
    /// The model doesn't have exactly one required input.
    #[error("a model of images has one input, this one has {0}")]
    Inputs(usize),
    /// The input isn't a batch of images.
    #[error(
        "the input {0} is no batch of images: float32, float16 or uint8, as [N, 3, H, W] or [N, H, W, 3]"
    )]
    Input(String),
    /// It can't be told whether the model takes channels first or last.
    #[error("the input {0} doesn't declare its channels, and there is no preprocessor_config.json")]
    UnknownChannels(String),
    /// It can't be told at what size the model takes images.
    #[error(
        "the input {0} doesn't declare its height and width, and there is no preprocessor_config.json"
    )]
    UnknownSize(String),
    /// There are no well-known means of a single channel.
    #[error("the input {0} has one channel, which needs a preprocessor_config.json")]
    UnknownNormalization(String),
    /// The images of the configuration don't fit the input.
    #[error(
        "preprocessor_config.json makes images of {prepared} pixels (height x width), the input is {input}"
    )]
    Size {
        /// Height and width by the configuration.
        prepared: String,
        /// The input as declared.
        input: String,
    },
    /// The number of named classes isn't the number in the output.
    #[error("{names} classes are named beside the model, but its output has {classes}")]
    Classes {
        /// Number of names.
        names: usize,
        /// Number of classes in the output.
        classes: usize,
    },
    /// No output has a row of scores for each image.
    #[error("no output has scores of classes: floats, as [N, classes]")]
    Output,
}

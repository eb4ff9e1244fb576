//! Image models: decoding, resizing and normalization, and the reading of their outputs.
//!
//! An image becomes the tensor that transformers makes of it with Pillow and numpy. PNG and WebP files are equal to it in
//! every bit, as are resizing and normalization. JPEG files differ by up to 5 of 255 in single pixels where colors are
//! stored at half the resolution, 0.2 on average, since the decoder rounds them otherwise than libjpeg-turbo.

mod decode;
mod prepare;

pub mod configuration;
pub mod error;
pub mod format;
pub mod geometry;
pub mod header;
pub mod input;
pub mod normalization;
mod prediction;
pub mod request;
pub mod resample;

pub use self::prediction::predictions;

use springtide_contract::task::Task;
use springtide_inference::{Dimension, ElementType, Port, Signature, Tensor, TensorView};

use crate::activation::Activation;
use crate::classes::{
    ClassConfiguration, ClassScores, Classes, ScoresError, activation_of, class_scores,
};
use crate::folder::{FolderError, ModelFolder};
use crate::image::configuration::ImageConfiguration;
use crate::image::error::{ImageError, ImageModelError};
use crate::image::header::{Header, Limits};
use crate::image::input::ImageInput;
use crate::image::prepare::Filling;
use crate::image::resample::Size;

/// Channels of a model that doesn't declare them.
const CHANNELS: usize = decode::RGB;

/// The task of a model, if its folder and its signature say that it classifies images.
///
/// # Errors
/// When a file in the folder can't be read.
pub fn detect(folder: &ModelFolder, signature: &Signature) -> Result<Option<Task>, FolderError> {
    let declared = ImageConfiguration::is_declared(folder)?;
    if !declared && Classes::from_labels(folder)?.is_none() {
        return Ok(None);
    }
    let classes = ClassConfiguration::read(folder)?;
    if let Some(configuration) = &classes {
        // Models for other tasks have the same preparation.
        let names = &configuration.architectures;
        if !names.is_empty()
            && !names
                .iter()
                .any(|name| name.contains("ForImageClassification"))
        {
            return Ok(None);
        }
    }
    let is_image = ImageInput::of(signature, transformers_channels(declared, classes.as_ref()));
    let classifies = is_image.is_ok() && output_port(signature).is_some();
    Ok(classifies.then_some(Task::ImageClassification))
}

/// Number of channels of a model of transformers.
fn transformers_channels(declared: bool, classes: Option<&ClassConfiguration>) -> Option<usize> {
    let channels = classes.and_then(|configuration| configuration.channels);
    declared.then(|| channels.unwrap_or(CHANNELS))
}

/// The output with scores of classes, and its place among the outputs of a run.
fn output_port(signature: &Signature) -> Option<(usize, &Port)> {
    let has_scores = |port: &Port| {
        let is_float = port.element().is_some_and(ElementType::is_float);
        let is_row = match port.shape.as_deref() {
            None => true,
            Some([_, _, rest @ ..]) => rest.iter().all(|&length| length == Dimension::Fixed(1)),
            Some(_) => false,
        };
        is_float && is_row
    };
    let candidates = || {
        signature
            .tensor_outputs()
            .enumerate()
            .filter(|(_, port)| has_scores(port))
    };
    let logits = candidates().find(|(_, port)| port.name == "logits");
    logits.or_else(|| candidates().next())
}

/// How images are given to a model, and how its outputs are read.
#[derive(Debug, Clone)]
pub struct ImageModel {
    input: ImageInput,
    configuration: ImageConfiguration,
    filling: Filling,
    classes: Option<Classes>,
    activation: Option<Activation>,
    output: usize,
    limits: Limits,
}

impl ImageModel {
    /// The model with a folder and a signature. `named` is whether its task was named: then an input of a fixed size
    /// without any file beside the model takes images as most models of `ImageNet` do.
    ///
    /// # Errors
    /// When a file can't be used, when nothing says how the model takes images, or when the files contradict the
    /// signature.
    pub fn open(
        folder: &ModelFolder,
        signature: &Signature,
        named: bool,
    ) -> Result<Self, ImageModelError> {
        let declared = ImageConfiguration::is_declared(folder)?;
        let labels = Classes::from_labels(folder)?;
        if !declared && labels.is_none() && !named {
            return Err(ImageModelError::Undeclared);
        }
        let classes = ClassConfiguration::read(folder)?;
        let input = ImageInput::of(signature, transformers_channels(declared, classes.as_ref()))?;
        let configuration = match ImageConfiguration::read(folder, input.channels)? {
            Some(configuration) => configuration,
            None => defaults(&input)?,
        };
        check_size(&configuration, &input)?;
        let (output, port) = output_port(signature).ok_or(ImageModelError::Output)?;
        let activation = classes
            .as_ref()
            .map(|configuration| configuration.activation);
        // A file that only names classes was written for this purpose.
        let classes = labels.or_else(|| classes.and_then(|configuration| configuration.classes));
        check_classes(classes.as_ref(), port)?;
        Ok(Self {
            filling: Filling::new(&configuration, &input),
            input,
            configuration,
            classes,
            activation,
            output,
            limits: Limits::default(),
        })
    }

    /// The model with other limits of images.
    #[must_use]
    pub const fn with_limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// The model with an activation. Where none is declared ([`Self::activation`]), the caller finds it out by a run and
    /// [`Self::activation_of`].
    #[must_use]
    pub const fn with_activation(mut self, activation: Activation) -> Self {
        self.activation = Some(activation);
        self
    }

    /// The activation of the outputs. None if no file declares it: then softmax is applied.
    #[must_use]
    pub const fn activation(&self) -> Option<Activation> {
        self.activation
    }

    /// The activation by the outputs of a run, for [`Self::with_activation`]. Several rows that differ are safer than
    /// one: logits may look like probabilities by chance.
    ///
    /// # Errors
    /// When the outputs have no scores.
    pub fn activation_of(&self, outputs: &[TensorView<'_>]) -> Result<Activation, ScoresError> {
        activation_of(outputs.get(self.output).ok_or(ScoresError::Missing)?)
    }

    /// The model's input.
    #[must_use]
    pub const fn input(&self) -> &ImageInput {
        &self.input
    }

    /// How images are prepared.
    #[must_use]
    pub const fn configuration(&self) -> &ImageConfiguration {
        &self.configuration
    }

    /// The classes. None if they aren't named.
    #[must_use]
    pub const fn classes(&self) -> Option<&Classes> {
        self.classes.as_ref()
    }

    /// Maximum bytes of a file.
    #[must_use]
    pub const fn max_bytes(&self) -> usize {
        self.limits.max_bytes
    }

    /// Size of each prepared image. None if it depends on the image, so that images may not share a batch.
    #[must_use]
    pub const fn size(&self) -> Option<Size> {
        self.configuration.geometry.output()
    }

    /// Format and dimensions of an image within the limits, without decoding it.
    ///
    /// # Errors
    /// When it is beyond the limits, or has a damaged header or another format.
    pub fn dimensions(&self, bytes: &[u8]) -> Result<Header, ImageError> {
        Header::read(bytes, &self.limits)
    }

    /// Maximum bytes of memory that [`Self::decode_and_prepare`] takes for an image, with its result.
    ///
    /// # Errors
    /// When one side of the image is so much longer than the other that it can't be scaled within the limits.
    pub fn memory(&self, header: &Header) -> Result<u64, ImageError> {
        let placement = self.place(header)?;
        let product = |width: usize, height: usize| (width as u64).saturating_mul(height as u64);
        let rgb = decode::RGB as u64;
        // The image when one direction is resized, and the result.
        let (columns, lines) = (placement.part.columns.len(), placement.part.lines.len());
        let from = image_size(header);
        let resized = product(columns, from.height)
            .max(product(from.width, lines))
            .saturating_add(product(columns, lines))
            .saturating_mul(rgb);
        let tensor = product(placement.output.width, placement.output.height)
            .saturating_mul(rgb * self.filling.element_bytes());
        Ok(header
            .decoding_bytes()
            .saturating_add(resized)
            .saturating_add(tensor))
    }

    /// The tensor of one image: a batch of one row.
    ///
    /// # Errors
    /// Those of [`Self::dimensions`] and [`Self::memory`], and when the file is damaged or incomplete.
    pub fn decode_and_prepare(&self, bytes: &[u8]) -> Result<Tensor, ImageError> {
        let header = self.dimensions(bytes)?;
        let placement = self.place(&header)?;
        let mut pixels = decode::decode(bytes, &header)?;
        if self.input.channels == 1 {
            decode::make_gray(&mut pixels);
        }
        let filter = self.configuration.geometry.filter;
        let (from, to) = (image_size(&header), placement.scaled);
        let resized = resample::resize(&pixels, from, to, &placement.part, filter);
        drop(pixels);
        let tensor = self.filling.fill(&resized, &placement);
        // The placement has the sizes of both, so this can't be.
        tensor.ok_or_else(|| too_elongated(&header))
    }

    fn place(&self, header: &Header) -> Result<geometry::Placement, ImageError> {
        let geometry = &self.configuration.geometry;
        let placement = geometry.place(image_size(header), self.limits.max_pixels);
        placement.ok_or_else(|| too_elongated(header))
    }

    /// Probabilities of the classes for each row of a run.
    ///
    /// # Errors
    /// When the outputs have no finite scores for each row and each named class.
    pub fn read(
        &self,
        outputs: &[TensorView<'_>],
        rows: usize,
    ) -> Result<Vec<ClassScores>, ScoresError> {
        let output = outputs.get(self.output).ok_or(ScoresError::Missing)?;
        let scores = class_scores(output, rows, self.activation.unwrap_or(Activation::Softmax))?;
        if let (Some(named), Some(first)) = (&self.classes, scores.first()) {
            let (classes, names) = (first.probabilities.len(), named.len());
            if classes != names {
                return Err(ScoresError::Count { classes, names });
            }
        }
        Ok(scores)
    }
}

/// The configuration of a model without a file for it.
fn defaults(input: &ImageInput) -> Result<ImageConfiguration, ImageModelError> {
    let declaration = || input.declaration.clone();
    let (Some(width), Some(height)) = (input.width, input.height) else {
        return Err(ImageModelError::UnknownSize(declaration()));
    };
    if input.channels != CHANNELS {
        return Err(ImageModelError::UnknownNormalization(declaration()));
    }
    Ok(ImageConfiguration::imagenet(Size { width, height }))
}

fn check_size(
    configuration: &ImageConfiguration,
    input: &ImageInput,
) -> Result<(), ImageModelError> {
    let output = configuration.geometry.output();
    let fits = |declared: Option<usize>, prepared: Option<usize>| {
        declared.is_none_or(|declared| prepared == Some(declared))
    };
    let (height, width) = (
        output.map(|size| size.height),
        output.map(|size| size.width),
    );
    if fits(input.height, height) && fits(input.width, width) {
        return Ok(());
    }
    let prepared = match output {
        Some(size) => format!("{}x{}", size.height, size.width),
        None => "varying".to_owned(),
    };
    let input = input.declaration.clone();
    Err(ImageModelError::Size { prepared, input })
}

fn check_classes(classes: Option<&Classes>, output: &Port) -> Result<(), ImageModelError> {
    let Some(&[_, Dimension::Fixed(declared), ..]) = output.shape.as_deref() else {
        return Ok(());
    };
    match classes.map(Classes::len) {
        Some(names) if names != declared => Err(ImageModelError::Classes {
            names,
            classes: declared,
        }),
        _ => Ok(()),
    }
}

fn image_size(header: &Header) -> Size {
    let side = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
    Size {
        width: side(header.width),
        height: side(header.height),
    }
}

const fn too_elongated(header: &Header) -> ImageError {
    ImageError::TooElongated {
        width: header.width,
        height: header.height,
    }
}

#[cfg(test)]
mod tests;

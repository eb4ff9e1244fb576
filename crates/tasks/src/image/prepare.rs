//! From the pixels of an image to a model's input.

use half::f16;
use springtide_inference::Tensor;

use crate::image::configuration::ImageConfiguration;
use crate::image::decode::RGB;
use crate::image::geometry::Placement;
use crate::image::input::{ImageInput, Layout, Pixel};

/// Value of a black pixel's channels.
const BLACK: usize = 0;

/// Values of the model for each value of a channel's pixels.
type Table<T> = [T; 256];

/// The values of each channel.
#[derive(Debug, Clone)]
enum Tables {
    F32(Vec<Table<f32>>),
    F16(Vec<Table<f16>>),
    U8(Vec<Table<u8>>),
}

/// The last step: from pixels to a tensor. A pixel has 256 values, so that looking its value up replaces scaling,
/// normalizing and rounding.
#[derive(Debug, Clone)]
pub(super) struct Filling {
    tables: Tables,
    layout: Layout,
    /// The channel of the image for each channel of the input.
    sources: Vec<usize>,
}

impl Filling {
    /// The step for an input.
    pub(super) fn new(configuration: &ImageConfiguration, input: &ImageInput) -> Self {
        let mut sources: Vec<usize> = (0..input.channels).collect();
        if configuration.bgr {
            sources.reverse();
        }
        let floats = sources
            .iter()
            .map(|&source| configuration.normalization.values(source));
        let tables = match input.pixel {
            Pixel::F32 => Tables::F32(floats.collect()),
            Pixel::F16 => Tables::F16(floats.map(|table| table.map(f16::from_f32)).collect()),
            Pixel::U8 => {
                let mut values = 0..=u8::MAX;
                let table = std::array::from_fn(|_| values.next().unwrap_or(u8::MAX));
                Tables::U8(vec![table; sources.len()])
            }
        };
        Self {
            tables,
            layout: input.layout,
            sources,
        }
    }

    /// Bytes of an element of the input.
    pub(super) const fn element_bytes(&self) -> u64 {
        match self.tables {
            Tables::F32(_) => 4,
            Tables::F16(_) => 2,
            Tables::U8(_) => 1,
        }
    }

    /// A batch of one image. `pixels` is the part of the placement, as RGB.
    pub(super) fn fill(&self, pixels: &[u8], placement: &Placement) -> Option<Tensor> {
        let (channels, output) = (self.sources.len(), placement.output);
        let shape = match self.layout {
            Layout::ChannelsFirst => vec![1, channels, output.height, output.width],
            Layout::ChannelsLast => vec![1, output.height, output.width, channels],
        };
        let tensor = match &self.tables {
            Tables::F32(tables) => Tensor::new(shape, self.values(tables, pixels, placement)),
            Tables::F16(tables) => Tensor::new(shape, self.values(tables, pixels, placement)),
            Tables::U8(tables) => Tensor::new(shape, self.values(tables, pixels, placement)),
        };
        tensor.ok()
    }

    fn values<T: Copy + Default>(
        &self,
        tables: &[Table<T>],
        pixels: &[u8],
        placement: &Placement,
    ) -> Vec<T> {
        let output = placement.output;
        let area = output.width * output.height;
        let mut values = Vec::with_capacity(area * tables.len());
        // All black: a small image leaves a rim.
        match self.layout {
            Layout::ChannelsFirst => {
                for table in tables {
                    values.resize(values.len() + area, table[BLACK]);
                }
            }
            Layout::ChannelsLast => {
                for _ in 0..area {
                    values.extend(tables.iter().map(|table| table[BLACK]));
                }
            }
        }
        let (pixels, _) = pixels.as_chunks::<RGB>();
        let width = placement.part.columns.len();
        if width == 0 {
            return values;
        }
        for (line, pixels) in pixels.chunks_exact(width).enumerate() {
            let start = (placement.line + line) * output.width + placement.column;
            match self.layout {
                Layout::ChannelsFirst => {
                    let planes = values.chunks_exact_mut(area);
                    for ((plane, table), &source) in planes.zip(tables).zip(&self.sources) {
                        let plane = plane.get_mut(start..start + width).unwrap_or_default();
                        for (value, pixel) in plane.iter_mut().zip(pixels) {
                            *value = table[usize::from(pixel[source])];
                        }
                    }
                }
                Layout::ChannelsLast => {
                    let channels = tables.len();
                    let line = values.get_mut(start * channels..(start + width) * channels);
                    let line = line.unwrap_or_default().chunks_exact_mut(channels);
                    for (values, pixel) in line.zip(pixels) {
                        for ((value, table), &source) in
                            values.iter_mut().zip(tables).zip(&self.sources)
                        {
                            *value = table[usize::from(pixel[source])];
                        }
                    }
                }
            }
        }
        values
    }
}

//! Size and part of an image that a model takes.

use std::ops::Range;

use crate::image::resample::{Filter, Part, Size};

/// How an image is scaled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scaling {
    /// Not at all.
    None,
    /// To a size, which may change its proportions.
    Exact(Size),
    /// With its proportions, so that its shorter side has this length.
    ShortestEdge(usize),
}

/// The geometric steps from an image to a model's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// The scaling.
    pub scaling: Scaling,
    /// The filter for it.
    pub filter: Filter,
    /// Size of the part from the middle of the scaled image.
    pub crop: Option<Size>,
}

/// The steps for one image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Size of the scaled image.
    pub scaled: Size,
    /// Its part that is used.
    pub part: Part,
    /// Size of the input.
    pub output: Size,
    /// Column and line of the input where the part begins. The rest is black.
    pub column: usize,
    /// See `column`.
    pub line: usize,
}

impl Geometry {
    /// Size of the input. None if it depends on the image.
    #[must_use]
    pub const fn output(&self) -> Option<Size> {
        match (self.crop, self.scaling) {
            (Some(size), _) | (None, Scaling::Exact(size)) => Some(size),
            (None, Scaling::None | Scaling::ShortestEdge(_)) => None,
        }
    }

    /// The steps for an image of a size. None if it would have more than `max_pixels` when it is scaled.
    #[must_use]
    pub fn place(&self, image: Size, max_pixels: u64) -> Option<Placement> {
        let scaled = match self.scaling {
            Scaling::None => image,
            Scaling::Exact(size) => size,
            Scaling::ShortestEdge(short) if image.width <= image.height => Size {
                width: short,
                height: proportional(short, image.height, image.width)?,
            },
            Scaling::ShortestEdge(short) => Size {
                width: proportional(short, image.width, image.height)?,
                height: short,
            },
        };
        let pixels = u64::try_from(scaled.width.checked_mul(scaled.height)?).ok()?;
        if pixels > max_pixels {
            return None;
        }
        let output = self.crop.unwrap_or(scaled);
        let (columns, column) = middle(scaled.width, output.width);
        let (lines, line) = middle(scaled.height, output.height);
        Some(Placement {
            scaled,
            part: Part { columns, lines },
            output,
            column,
            line,
        })
    }
}

/// Length of the longer side when the shorter one gets the length `to`, rounded down as transformers does.
fn proportional(to: usize, long: usize, short: usize) -> Option<usize> {
    to.checked_mul(long)?.checked_div(short)
}

/// The part of a line of `length` pixels that is in its middle `crop` pixels, and where it begins in these.
fn middle(length: usize, crop: usize) -> (Range<usize>, usize) {
    if crop <= length {
        let start = (length - crop) / 2;
        (start..start + crop, 0)
    } else {
        // The odd pixel of the black rim comes first.
        (0..length, (crop - length).div_ceil(2))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn size(width: usize, height: usize) -> Size {
        Size { width, height }
    }

    #[test]
    fn the_shorter_side_gets_the_length() {
        let geometry = Geometry {
            scaling: Scaling::ShortestEdge(256),
            filter: Filter::Bilinear,
            crop: Some(size(224, 224)),
        };
        let placed = geometry.place(size(640, 480), 1 << 24).unwrap();
        assert_eq!(placed.scaled, size(341, 256));
        assert_eq!(
            placed.part,
            Part {
                columns: 58..282,
                lines: 16..240
            }
        );
        assert_eq!((placed.column, placed.line), (0, 0));
        let placed = geometry.place(size(480, 640), 1 << 24).unwrap();
        assert_eq!(placed.scaled, size(256, 341));
        assert_eq!(geometry.output(), Some(size(224, 224)));
    }

    #[test]
    fn a_small_image_is_in_the_middle_of_a_black_one() {
        let geometry = Geometry {
            scaling: Scaling::None,
            filter: Filter::Bilinear,
            crop: Some(size(8, 4)),
        };
        let placed = geometry.place(size(5, 6), 1 << 24).unwrap();
        assert_eq!(
            placed.part,
            Part {
                columns: 0..5,
                lines: 1..5
            }
        );
        assert_eq!((placed.column, placed.line), (2, 0));
    }

    #[test]
    fn elongated_images_are_refused() {
        let geometry = Geometry {
            scaling: Scaling::ShortestEdge(256),
            filter: Filter::Bilinear,
            crop: None,
        };
        assert_eq!(geometry.place(size(1 << 24, 1), 1 << 24), None);
        assert_eq!(geometry.place(size(usize::MAX, 2), 1 << 24), None);
        assert!(geometry.place(size(1 << 10, 1 << 9), 1 << 24).is_some());
        assert_eq!(geometry.output(), None);
    }
}

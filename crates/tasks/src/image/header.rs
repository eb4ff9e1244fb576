//! Format and dimensions of an image, from its first bytes.
//!
//! Nothing is decoded or allocated here, so that a small file that claims huge dimensions costs nothing.

use crate::image::error::ImageError;
use crate::image::format::Format;

/// Maximum length of a side: the longest one of JPEG. Scaling takes memory for each pixel of a side.
const MAX_SIDE: u32 = 65_535;

/// Limits of images.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Maximum bytes of a file.
    pub max_bytes: usize,
    /// Maximum pixels: of an image, and of an image that was scaled.
    pub max_pixels: u64,
}

impl Default for Limits {
    /// 16 MiB, and 4096x4096 pixels: 48 MiB when decoded. Photos of 12 megapixels are within both. Larger ones only
    /// cost time, since models take less than a megapixel.
    fn default() -> Self {
        Self {
            max_bytes: 16 << 20,
            max_pixels: 4096 * 4096,
        }
    }
}

/// What the first bytes of an image say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// The format.
    pub format: Format,
    /// Maximum bytes per pixel while it is decoded.
    bytes_per_pixel: u64,
}

impl Header {
    /// The header of an image within limits.
    ///
    /// # Errors
    /// When the file is too large, has an unknown format or a damaged header, or the image has too many pixels.
    pub fn read(bytes: &[u8], limits: &Limits) -> Result<Self, ImageError> {
        if bytes.len() > limits.max_bytes {
            return Err(ImageError::TooManyBytes {
                bytes: bytes.len(),
                max: limits.max_bytes,
            });
        }
        let (format, header) = if bytes.starts_with(&[0xff, 0xd8, 0xff]) {
            (Format::Jpeg, jpeg(bytes))
        } else if bytes.starts_with(b"\x89PNG\r\n\x1a\n") {
            (Format::Png, png(bytes))
        } else if bytes.starts_with(b"RIFF") && bytes.get(8..12) == Some(b"WEBP") {
            (Format::Webp, webp(bytes))
        } else {
            return Err(ImageError::UnknownFormat);
        };
        let header = header.filter(|header| header.width > 0 && header.height > 0);
        let Some(header) = header else {
            let problem = "its header is damaged, or has no pixels".to_owned();
            return Err(ImageError::Malformed { format, problem });
        };
        if header.pixels() > limits.max_pixels {
            return Err(ImageError::TooManyPixels {
                width: header.width,
                height: header.height,
                max: limits.max_pixels,
            });
        }
        if header.width.max(header.height) > MAX_SIDE {
            return Err(ImageError::TooElongated {
                width: header.width,
                height: header.height,
            });
        }
        Ok(header)
    }

    /// Number of pixels.
    #[must_use]
    pub const fn pixels(&self) -> u64 {
        // Each factor has 32 bits.
        self.width as u64 * self.height as u64
    }

    /// Maximum bytes of memory for decoding, with the decoded image.
    #[must_use]
    pub const fn decoding_bytes(&self) -> u64 {
        // Some lines of pixels, weights for scaling them, and the tables of the decoder.
        let lines = 512 * (self.width as u64 + self.height as u64) + (1 << 20);
        self.pixels()
            .saturating_mul(self.bytes_per_pixel)
            .saturating_add(lines)
    }
}

fn u16_be(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..)?.first_chunk()?;
    Some(u32::from(u16::from_be_bytes(*word)))
}

fn u32_be(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_be_bytes(*bytes.get(at..)?.first_chunk()?))
}

/// Up to four bytes, the lowest first.
fn little(bytes: &[u8], at: usize, count: usize) -> Option<u32> {
    let bytes = bytes.get(at..at.checked_add(count)?)?;
    let join = |value: u32, &byte: &u8| value << 8 | u32::from(byte);
    Some(bytes.iter().rev().fold(0, join))
}

/// Segments of a JPEG file before its first scan: marker, offset of the content, content.
fn segments(bytes: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut at = 2;
    std::iter::from_fn(move || {
        // Decoders skip what isn't a marker, and a marker may have any number of fill bytes.
        loop {
            at += bytes.get(at..)?.iter().position(|&byte| byte == 0xff)?;
            at += bytes.get(at..)?.iter().position(|&byte| byte != 0xff)?;
            let marker = *bytes.get(at)?;
            at += 1;
            // Stuffing, restarts, and the start of an image have no content.
            if !matches!(marker, 0x00 | 0x01 | 0xd0..=0xd8) {
                let length = usize::try_from(u16_be(bytes, at)?).ok()?;
                let content = bytes.get(at + 2..at.checked_add(length)?)?;
                at += length;
                return Some((marker, content));
            }
        }
    })
}

fn jpeg(bytes: &[u8]) -> Option<Header> {
    let mut frame = None;
    for (marker, content) in segments(bytes) {
        match marker {
            // Tables that share the range of numbers with starts of frames.
            0xc4 | 0xc8 | 0xcc => {}
            0xc0..=0xcf => frame = Some((marker, content)),
            0xda => {
                let (marker, frame) = frame?;
                let components = *frame.get(5)?;
                // The coefficients of all components are kept until the last scan, 2 bytes each, unless the first scan
                // is the only one. A byte more for lines that are scaled.
                let scans = marker == 0xc2 || *content.first()? < components;
                let coefficients = if scans { 2 * u64::from(components) } else { 0 };
                return Some(Header {
                    height: u16_be(frame, 1)?,
                    width: u16_be(frame, 3)?,
                    format: Format::Jpeg,
                    bytes_per_pixel: 4 + coefficients,
                });
            }
            0xd9 => return None,
            _ => {}
        }
    }
    None
}

/// Whether a JPEG file goes on to the end of its image. The decoder fills a missing part with gray.
pub(super) fn is_complete_jpeg(bytes: &[u8]) -> bool {
    let scan = segments(bytes).find(|(marker, _)| *marker == 0xda);
    // An earlier end is one of a thumbnail in the headers: within a scan, no data looks like a marker.
    scan.is_some_and(|(_, content)| {
        let start = content.as_ptr().addr() - bytes.as_ptr().addr() + content.len();
        bytes
            .get(start..)
            .is_some_and(|data| data.windows(2).rev().any(|pair| pair == [0xff, 0xd9]))
    })
}

/// Whether a WebP file has as many bytes as it declares.
pub(super) fn is_complete_webp(bytes: &[u8]) -> bool {
    // Without the first two fields.
    let declared = little(bytes, 4, 4).and_then(|length| usize::try_from(length).ok());
    declared.is_some_and(|declared| declared <= bytes.len().saturating_sub(8))
}

fn png(bytes: &[u8]) -> Option<Header> {
    if bytes.get(12..16) != Some(b"IHDR") {
        return None;
    }
    Some(Header {
        width: u32_be(bytes, 16)?,
        height: u32_be(bytes, 20)?,
        format: Format::Png,
        // 4 as decoded: RGBA, or gray and alpha of 16 bits. 3 as RGB.
        bytes_per_pixel: 7,
    })
}

fn webp(bytes: &[u8]) -> Option<Header> {
    let name = bytes.get(12..16)?;
    let (width, height) = match name {
        b"VP8X" => {
            let canvas = (little(bytes, 24, 3)? + 1, little(bytes, 27, 3)? + 1);
            // Only the canvas is declared, and the decoder allocates what its parts say.
            chunks(bytes.get(12..)?)
                .all(|(name, content)| fits_canvas(name, content, canvas))
                .then_some(canvas)?
        }
        _ => bitstream(name, bytes.get(20..)?)?,
    };
    Some(Header {
        width,
        height,
        format: Format::Webp,
        // RGBA, and RGB or planes of colors. In an extended file also an alpha channel, a frame and a canvas.
        bytes_per_pixel: if name == b"VP8X" { 20 } else { 8 },
    })
}

/// Chunks of a WebP file: name and content.
fn chunks(mut bytes: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    std::iter::from_fn(move || {
        let name = bytes.get(..4)?;
        let length = usize::try_from(little(bytes, 4, 4)?).ok()?;
        let content = bytes.get(8..)?;
        // The last chunk may be cut.
        let content = content.get(..length).unwrap_or(content);
        let next = length.checked_add(length & 1)?.checked_add(8)?;
        bytes = bytes.get(next..).unwrap_or_default();
        Some((name, content))
    })
}

/// Whether the images in a chunk are no larger than the canvas.
fn fits_canvas(name: &[u8], content: &[u8], canvas: (u32, u32)) -> bool {
    let fits = |size: Option<(u32, u32)>| {
        size.is_some_and(|(width, height)| width <= canvas.0 && height <= canvas.1)
    };
    match name {
        b"VP8 " | b"VP8L" => fits(bitstream(name, content)),
        b"ANMF" => {
            let frame = content.get(16..).unwrap_or_default();
            chunks(frame).all(|(name, content)| match name {
                b"VP8 " | b"VP8L" => fits(bitstream(name, content)),
                _ => true,
            })
        }
        _ => true,
    }
}

/// Dimensions of a lossy or a lossless image.
fn bitstream(name: &[u8], content: &[u8]) -> Option<(u32, u32)> {
    match name {
        b"VP8 " if content.get(3..6) == Some(&[0x9d, 0x01, 0x2a]) => {
            // The upper two bits are a scale for showing it.
            let side = |at| little(content, at, 2).map(|side| side & 0x3fff);
            Some((side(6)?, side(8)?))
        }
        b"VP8L" if content.first() == Some(&0x2f) => {
            let bits = little(content, 1, 4)?;
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests;

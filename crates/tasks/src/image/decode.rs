//! Decoding of images to RGB, as Pillow's `Image.open(file).convert("RGB")` does.
//!
//! The orientation in EXIF data isn't applied: neither Pillow nor transformers do that when they open an image, and so
//! models were trained without it. Color profiles aren't applied, either.

use std::io::Cursor;
use std::panic::{AssertUnwindSafe, catch_unwind};

use image_webp::WebPDecoder;
use zune_jpeg::JpegDecoder;
use zune_jpeg::zune_core::bytestream::ZCursor;
use zune_jpeg::zune_core::colorspace::ColorSpace;
use zune_jpeg::zune_core::options::DecoderOptions;

use crate::image::error::ImageError;
use crate::image::format::Format;
use crate::image::header::{Header, is_complete_jpeg, is_complete_webp};

/// Channels of a decoded image.
pub(super) const RGB: usize = 3;

/// The pixels of an image, line by line, as RGB.
///
/// # Errors
/// When the file is damaged or incomplete.
pub(super) fn decode(bytes: &[u8], header: &Header) -> Result<Vec<u8>, ImageError> {
    // A decoder of hostile files may have a mistake that panics. It must not end the thread of other requests.
    let decoded = catch_unwind(AssertUnwindSafe(|| match header.format {
        Format::Jpeg => jpeg(bytes, header),
        Format::Png => png(bytes, header),
        Format::Webp => webp(bytes, header),
    }));
    let problem = match decoded {
        Ok(Ok(pixels)) if pixels.len() as u64 == header.pixels() * RGB as u64 => return Ok(pixels),
        Ok(Ok(_)) => OTHER_SIZE.to_owned(),
        Ok(Err(problem)) => problem,
        Err(_) => FAILED.to_owned(),
    };
    let format = header.format;
    Err(ImageError::Malformed { format, problem })
}

const FAILED: &str = "the decoder failed";

const INCOMPLETE: &str = "it is incomplete";

const OTHER_SIZE: &str = "its parts differ in size";

/// Decoders show kinds of errors by their names.
fn shown(error: impl std::fmt::Debug) -> String {
    let mut text = format!("{error:?}");
    // Some contain data of the file.
    let end = text.floor_char_boundary(200);
    text.truncate(end);
    text
}

fn jpeg(bytes: &[u8], header: &Header) -> Result<Vec<u8>, String> {
    if !is_complete_jpeg(bytes) {
        return Err(INCOMPLETE.to_owned());
    }
    let side = |side: u32| usize::try_from(side).unwrap_or(usize::MAX);
    let options = DecoderOptions::default()
        .set_max_width(side(header.width))
        .set_max_height(side(header.height))
        .jpeg_set_out_colorspace(ColorSpace::RGB);
    let mut decoder = JpegDecoder::new_with_options(ZCursor::new(bytes), options);
    decoder.decode_headers().map_err(shown)?;
    if decoder.dimensions() != Some((side(header.width), side(header.height))) {
        return Err(OTHER_SIZE.to_owned());
    }
    decoder.decode().map_err(shown)
}

fn png(bytes: &[u8], header: &Header) -> Result<Vec<u8>, String> {
    let limits = png::Limits {
        bytes: usize::try_from(header.decoding_bytes()).unwrap_or(usize::MAX),
    };
    let mut decoder = png::Decoder::new_with_limits(Cursor::new(bytes), limits);
    decoder.set_ignore_text_chunk(true);
    decoder.set_ignore_iccp_chunk(true);
    let info = decoder.read_header_info().map_err(shown)?;
    if info.size() != (header.width, header.height) {
        return Err(OTHER_SIZE.to_owned());
    }
    // Pillow keeps all bits of gray images, and the upper 8 of others.
    let is_gray = info.color_type == png::ColorType::Grayscale;
    let mut transformations = png::Transformations::EXPAND;
    if !is_gray {
        transformations |= png::Transformations::STRIP_16;
    }
    decoder.set_transformations(transformations);
    let mut reader = decoder.read_info().map_err(shown)?;
    let size = reader.output_buffer_size().ok_or(OTHER_SIZE)?;
    let mut pixels = vec![0; size];
    let info = reader.next_frame(&mut pixels).map_err(shown)?;
    pixels.truncate(info.buffer_size());
    // The checksums of the rest, and whether there is an end.
    reader.finish().map_err(shown)?;
    // As Pillow converts 16 bits of gray: it doesn't scale them.
    let clip = |high: u8, low: u8| if high == 0 { low } else { u8::MAX };
    let gray = |value: u8| [value; RGB];
    Ok(match (info.color_type, info.bit_depth) {
        (png::ColorType::Rgb, png::BitDepth::Eight) => pixels,
        (png::ColorType::Rgba, png::BitDepth::Eight) => without_alpha(pixels),
        (png::ColorType::Grayscale, png::BitDepth::Eight) => {
            pixels.iter().flat_map(|&value| gray(value)).collect()
        }
        (png::ColorType::GrayscaleAlpha, png::BitDepth::Eight) => {
            let (pixels, _) = pixels.as_chunks::<2>();
            pixels.iter().flat_map(|&[value, _]| gray(value)).collect()
        }
        (png::ColorType::Grayscale, png::BitDepth::Sixteen) => {
            let (pixels, _) = pixels.as_chunks::<2>();
            let gray = |&[high, low]: &[u8; 2]| gray(clip(high, low));
            pixels.iter().flat_map(gray).collect()
        }
        (png::ColorType::GrayscaleAlpha, png::BitDepth::Sixteen) => {
            let (pixels, _) = pixels.as_chunks::<4>();
            let gray = |&[high, low, _, _]: &[u8; 4]| gray(clip(high, low));
            pixels.iter().flat_map(gray).collect()
        }
        (color, depth) => return Err(format!("{color:?} of {depth:?} bits")),
    })
}

fn webp(bytes: &[u8], header: &Header) -> Result<Vec<u8>, String> {
    if !is_complete_webp(bytes) {
        return Err(INCOMPLETE.to_owned());
    }
    let mut decoder = WebPDecoder::new(Cursor::new(bytes)).map_err(shown)?;
    if decoder.dimensions() != (header.width, header.height) {
        return Err(OTHER_SIZE.to_owned());
    }
    let size = decoder.output_buffer_size().ok_or(OTHER_SIZE)?;
    let mut pixels = vec![0; size];
    // The first image of an animation.
    decoder.read_image(&mut pixels).map_err(shown)?;
    Ok(if decoder.has_alpha() {
        without_alpha(pixels)
    } else {
        pixels
    })
}

/// RGB of RGBA, in the same memory.
fn without_alpha(mut pixels: Vec<u8>) -> Vec<u8> {
    let count = pixels.len() / 4;
    for pixel in 1..count {
        pixels.copy_within(4 * pixel..4 * pixel + RGB, RGB * pixel);
    }
    pixels.truncate(RGB * count);
    pixels
}

/// Makes RGB gray, as Pillow's `convert("L")` does.
pub(super) fn make_gray(pixels: &mut [u8]) {
    let (pixels, _) = pixels.as_chunks_mut::<RGB>();
    for pixel in pixels {
        // The weights of ITU-R 601-2, scaled by 65536. That is their sum, so the third byte has the result.
        let [red, green, blue] = pixel.map(u32::from);
        let [_, _, luma, _] = (red * 19595 + green * 38470 + blue * 7471 + 0x8000).to_le_bytes();
        *pixel = [luma; RGB];
    }
}

#[cfg(test)]
mod tests;

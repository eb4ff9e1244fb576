use std::fs;
use std::path::{Path, PathBuf};

use super::*;
use crate::image::header::Limits;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image")
}

/// Images of the fixtures: name, file and pixels in Pillow.
fn images() -> Vec<(String, Vec<u8>, Vec<u8>)> {
    let mut images = Vec::new();
    for file in fs::read_dir(fixtures()).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        let pixels = path.with_file_name(format!("{name}.rgb"));
        if pixels.exists() {
            images.push((name, fs::read(&path).unwrap(), fs::read(pixels).unwrap()));
        }
    }
    images.sort();
    assert!(images.len() > 25, "the fixtures are missing");
    images
}

fn decoded(bytes: &[u8]) -> Result<Vec<u8>, ImageError> {
    let header = Header::read(bytes, &Limits::default())?;
    decode(bytes, &header)
}

#[test]
fn pixels_are_those_of_pillow() {
    for (name, bytes, expected) in images() {
        let pixels = decoded(&bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(pixels.len(), expected.len(), "{name}");
        let differences = || {
            pixels
                .iter()
                .zip(&expected)
                .map(|(left, right)| left.abs_diff(*right))
        };
        let largest = differences().max().unwrap();
        let mean = differences().map(f64::from).sum::<f64>() / pixels.len() as f64;
        println!("{name}: largest difference {largest}, mean {mean:.3}");
        // The decoder of JPEG rounds upsampled colors twice where libjpeg-turbo does it once.
        let (allowed, allowed_mean) = match name.as_str() {
            "420.jpg" | "progressive.jpg" | "restarts.jpg" => (4, 0.45),
            "422.jpg" => (4, 0.3),
            name if name.ends_with(".jpg") => (2, 0.1),
            _ => (0, 0.0),
        };
        assert!(
            largest <= allowed && mean <= allowed_mean,
            "{name}: {largest}, {mean}"
        );
    }
}

#[test]
fn gray_is_that_of_pillow() {
    let expected = fs::read(fixtures().join("photo.l")).unwrap();
    let mut pixels = fs::read(fixtures().join("photo.png.rgb")).unwrap();
    make_gray(&mut pixels);
    for (pixel, luma) in pixels.chunks_exact(RGB).zip(expected) {
        assert_eq!(pixel, [luma; RGB]);
    }
}

#[test]
fn files_cut_at_any_byte_are_refused() {
    for (name, bytes, _) in images() {
        // All of them take half a minute.
        for length in (0..64).chain((64..bytes.len()).step_by(13)) {
            let cut = decoded(&bytes[..length]);
            assert!(cut.is_err(), "{name}, {length} bytes");
            if let Err(ImageError::Malformed { problem, .. }) = cut {
                assert_ne!(problem, FAILED, "{name}, {length} bytes");
            }
        }
    }
}

#[test]
fn files_with_a_damaged_byte_do_not_make_a_decoder_panic() {
    for (name, bytes, _) in images() {
        // All bytes of headers, and some of the others: all of them take a minute.
        for at in (0..64).chain((64..bytes.len()).step_by(31)) {
            for value in [0xff, bytes[at] ^ 0x10] {
                let mut damaged = bytes.clone();
                damaged[at] = value;
                if let Err(ImageError::Malformed { problem, .. }) = decoded(&damaged) {
                    assert_ne!(problem, FAILED, "{name}, byte {at} is {value}");
                }
            }
        }
    }
}

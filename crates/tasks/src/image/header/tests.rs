use super::*;

fn read(bytes: &[u8]) -> Result<(u32, u32, Format), ImageError> {
    let header = Header::read(bytes, &Limits::default())?;
    Ok((header.width, header.height, header.format))
}

fn jpeg_of(width: u16, height: u16, frame: u8) -> Vec<u8> {
    let (width, height) = (width.to_be_bytes(), height.to_be_bytes());
    let mut bytes = vec![
        0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xff, frame, 0, 11, 8,
    ];
    bytes.extend([height, width].concat());
    bytes.extend([1, 1, 0x11, 0, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 63, 0]);
    bytes
}

fn png_of(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR".to_vec();
    bytes.extend([width.to_be_bytes(), height.to_be_bytes()].concat());
    bytes.extend([8, 2, 0, 0, 0]);
    bytes
}

fn riff(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut bytes = b"RIFF\0\0\0\0WEBP".to_vec();
    for (name, content) in chunks {
        bytes.extend(*name);
        bytes.extend(u32::try_from(content.len()).unwrap().to_le_bytes());
        bytes.extend(*content);
        if content.len() % 2 == 1 {
            bytes.push(0);
        }
    }
    bytes
}

fn lossy(width: u16, height: u16) -> Vec<u8> {
    let mut bytes = vec![0, 0, 0, 0x9d, 1, 0x2a];
    bytes.extend([width.to_le_bytes(), height.to_le_bytes()].concat());
    bytes
}

fn canvas(width: u32, height: u32) -> Vec<u8> {
    let (width, height) = ((width - 1).to_le_bytes(), (height - 1).to_le_bytes());
    [&[2, 0, 0, 0], &width[..3], &height[..3]].concat()
}

#[test]
fn dimensions_are_read_from_the_first_bytes() {
    assert_eq!(read(&jpeg_of(640, 480, 0xc0)), Ok((640, 480, Format::Jpeg)));
    assert_eq!(read(&jpeg_of(640, 480, 0xc2)), Ok((640, 480, Format::Jpeg)));
    assert_eq!(read(&png_of(640, 480)), Ok((640, 480, Format::Png)));
    let webp = Ok((640, 480, Format::Webp));
    assert_eq!(read(&riff(&[(b"VP8 ", &lossy(640, 480))])), webp);
    let lossless = (639_u32 | 479 << 14).to_le_bytes();
    let lossless = [&[0x2f], &lossless[..]].concat();
    assert_eq!(read(&riff(&[(b"VP8L", &lossless)])), webp);
    let parts = riff(&[
        (b"VP8X", &canvas(640, 480)),
        (b"ABCD", b"odd"),
        (b"VP8L", &lossless),
    ]);
    assert_eq!(read(&parts), webp);
}

#[test]
fn huge_dimensions_are_refused() {
    let frame = [&[0; 16], &riff(&[(b"VP8 ", &lossy(16383, 16383))])[12..]].concat();
    for bytes in [
        jpeg_of(65535, 65535, 0xc0),
        jpeg_of(65535, 65535, 0xc2),
        png_of(100_000, 100_000),
        png_of(u32::MAX, u32::MAX),
        riff(&[(b"VP8 ", &lossy(16383, 16383))]),
        riff(&[(b"VP8L", &[0x2f, 0xff, 0xff, 0xff, 0xff])]),
        riff(&[(b"VP8X", &canvas(1 << 24, 1 << 24))]),
    ] {
        let refused = read(&bytes);
        assert!(
            matches!(refused, Err(ImageError::TooManyPixels { .. })),
            "{refused:?}"
        );
    }
    let refused = read(&png_of(65_536, 1));
    assert!(
        matches!(refused, Err(ImageError::TooElongated { .. })),
        "{refused:?}"
    );
    // Decoders allocate what the inner parts say.
    for part in [(b"VP8 ", &lossy(16383, 16383)), (b"ANMF", &frame)] {
        let refused = read(&riff(&[(b"VP8X", &canvas(8, 8)), (part.0, part.1)]));
        assert!(
            matches!(refused, Err(ImageError::Malformed { .. })),
            "{refused:?}"
        );
    }
}

#[test]
fn limits_are_inclusive() {
    let limits = Limits {
        max_bytes: png_of(4, 4).len(),
        max_pixels: 16,
    };
    assert!(Header::read(&png_of(4, 4), &limits).is_ok());
    let refused = Header::read(&png_of(17, 1), &limits);
    assert!(matches!(refused, Err(ImageError::TooManyPixels { .. })));
    let bytes = [png_of(4, 4), vec![0]].concat();
    let refused = Header::read(&bytes, &limits);
    assert!(matches!(refused, Err(ImageError::TooManyBytes { .. })));
}

#[test]
fn other_files_are_refused() {
    for bytes in [
        &b""[..],
        b"GIF89a",
        b"RIFF\0\0\0\0WAVE",
        b"\xff\xd8",
        b"<svg/>",
    ] {
        assert_eq!(read(bytes), Err(ImageError::UnknownFormat));
    }
    for bytes in [
        jpeg_of(0, 480, 0xc0),
        jpeg_of(640, 0, 0xc0),
        png_of(0, 1),
        b"\xff\xd8\xff\xd9".to_vec(),
        // A length below its own two bytes.
        b"\xff\xd8\xff\xe0\0\0\xff\xe0\0\x01".to_vec(),
        riff(&[(b"VP8 ", b"\0\0\0\0\0\0\0\0\0\0")]),
        riff(&[(b"ABCD", b"")]),
    ] {
        let refused = read(&bytes);
        assert!(
            matches!(refused, Err(ImageError::Malformed { .. })),
            "{bytes:?}"
        );
    }
}

#[test]
fn a_progressive_image_is_charged_for_its_coefficients() {
    let bytes = |frame| {
        let header = Header::read(&jpeg_of(1000, 1000, frame), &Limits::default());
        header.unwrap().decoding_bytes()
    };
    assert_eq!(bytes(0xc2) - bytes(0xc0), 2_000_000);
}

#[test]
fn a_jpeg_without_its_end_is_incomplete() {
    let bytes = jpeg_of(8, 8, 0xc0);
    assert!(!is_complete_jpeg(&bytes));
    assert!(is_complete_jpeg(
        &[&bytes[..], &[1, 2, 0xff, 0xd9, 0]].concat()
    ));
    let thumbnail = [&bytes[..2], &[0xff, 0xe1, 0, 4, 0xff, 0xd9], &bytes[2..]].concat();
    assert!(!is_complete_jpeg(&thumbnail));
}

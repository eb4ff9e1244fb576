use std::fs;
use std::path::Path;

use super::*;

const FROM: Size = size(33, 21);

/// Sizes in the fixtures.
const RESIZED: [Size; 6] = [
    size(16, 11),
    size(50, 40),
    size(33, 10),
    size(7, 21),
    size(1, 1),
    size(64, 5),
];

const fn size(width: usize, height: usize) -> Size {
    Size { width, height }
}

fn fixture(name: &str) -> Vec<u8> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image");
    fs::read(folder.join(name)).unwrap()
}

const fn whole(size: Size) -> Part {
    Part {
        columns: 0..size.width,
        lines: 0..size.height,
    }
}

#[test]
fn every_filter_and_size_is_equal_to_pillow() {
    let pixels = fixture("photo.png.rgb");
    for number in 0..6 {
        let filter = Filter::numbered(number).unwrap();
        let expected = fixture(&format!("resize_{number}.rgb"));
        let mut rest = &expected[..];
        for to in RESIZED {
            let resized = resize(&pixels, FROM, to, &whole(to), filter);
            let (expected, after) = rest.split_at(resized.len());
            let different = resized
                .iter()
                .zip(expected)
                .filter(|(left, right)| left != right);
            assert_eq!(different.count(), 0, "{filter:?} {to:?}");
            rest = after;
        }
    }
    assert_eq!(Filter::numbered(6), None);
}

#[test]
fn a_part_is_equal_to_the_part_of_the_whole() {
    let pixels = fixture("photo.png.rgb");
    for number in 0..6 {
        let filter = Filter::numbered(number).unwrap();
        for to in RESIZED.into_iter().chain([FROM]) {
            let all = resize(&pixels, FROM, to, &whole(to), filter);
            let part = Part {
                columns: to.width / 3..to.width.div_ceil(2),
                lines: to.height / 4..to.height - to.height / 5,
            };
            let expected = cut(&all, to.width, &part);
            assert!(
                resize(&pixels, FROM, to, &part, filter) == expected,
                "{filter:?} {to:?}"
            );
        }
    }
}

#[test]
fn an_image_of_the_right_size_stays_as_it_is() {
    let pixels = fixture("photo.png.rgb");
    assert!(resize(&pixels, FROM, FROM, &whole(FROM), Filter::Lanczos) == pixels);
}

//! Image files, and the JSON of requests with texts and images.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use springtide_inference::{Dimension, ElementType, Port, Signature};
use springtide_tasks::folder::ModelFolder;
use springtide_tasks::image::ImageModel;
use springtide_tasks::image::header::Limits;
use springtide_tasks::request::Protocol;
use springtide_tasks::{image, text};

const SIDE: usize = 24;

/// A model that takes small images, so that many are tried.
static MODEL: LazyLock<ImageModel> = LazyLock::new(|| {
    let side = Dimension::Fixed(SIDE);
    let shape = [Dimension::Any, Dimension::Fixed(3), side, side];
    let signature = Signature {
        inputs: vec![Port::tensor("x", ElementType::F32, shape)],
        outputs: vec![Port::tensor(
            "y",
            ElementType::F32,
            [Dimension::Any, Dimension::Fixed(10)],
        )],
    };
    let model = ImageModel::open(&ModelFolder::new("/nowhere"), &signature, true).unwrap();
    model.with_limits(Limits {
        max_bytes: 1 << 20,
        max_pixels: 1 << 16,
    })
});

fuzz_target!(|bytes: &[u8]| {
    for protocol in [Protocol::Predict, Protocol::V1] {
        let _ = text::request::parse(bytes, protocol);
        let _ = image::request::parse(bytes, protocol);
    }
    if let Ok(header) = MODEL.dimensions(bytes) {
        assert!(u64::from(header.width) * u64::from(header.height) <= 1 << 16);
    }
    if let Ok(tensor) = MODEL.decode_and_prepare(bytes) {
        assert_eq!(tensor.shape(), [1, 3, SIDE, SIDE]);
    }
});

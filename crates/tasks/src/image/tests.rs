use std::fs;
use std::path::{Path, PathBuf};

use springtide_inference::{Data, Dimension::Any, Dimension::Fixed};

use super::*;

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/image")
}

fn photo() -> Vec<u8> {
    fs::read(fixtures().join("photo.png")).unwrap()
}

/// A folder with files.
fn folder(files: &[(&str, &str)]) -> (tempfile::TempDir, ModelFolder) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        fs::write(folder.path().join(name), content).unwrap();
    }
    let opened = ModelFolder::new(folder.path());
    (folder, opened)
}

fn signature(element: ElementType, input: &[Dimension], output: &[Dimension]) -> Signature {
    Signature {
        inputs: vec![Port::tensor("pixel_values", element, input)],
        outputs: vec![Port::tensor("logits", ElementType::F32, output)],
    }
}

/// A model as transformers exports it, with all dimensions free.
fn free() -> Signature {
    signature(ElementType::F32, &[Any; 4], &[Any, Any])
}

fn fixed(channels: usize, side: usize) -> Signature {
    let input = [Any, Fixed(channels), Fixed(side), Fixed(side)];
    signature(ElementType::F32, &input, &[Any, Fixed(2)])
}

const VIT: &str = r#"{"image_processor_type": "ViTImageProcessor", "size": {"height": 16, "width": 16},
    "resample": 2, "image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}"#;

#[test]
fn prepared_images_are_those_of_transformers() {
    let mut count = 0;
    for file in fs::read_dir(fixtures()).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "json") {
            continue;
        }
        let (_folder, opened) = folder(&[(
            "preprocessor_config.json",
            &fs::read_to_string(&path).unwrap(),
        )]);
        let model = ImageModel::open(&opened, &free(), false).unwrap();
        let expected = fs::read(path.with_extension("f32")).unwrap();
        let (expected, _) = expected.as_chunks::<4>();
        let tensor = model.decode_and_prepare(&photo()).unwrap();
        let size = model.size().unwrap();
        assert_eq!(tensor.shape(), [1, 3, size.height, size.width], "{path:?}");
        let Data::F32(values) = tensor.data() else {
            panic!("{path:?}")
        };
        assert_eq!(values.len(), expected.len(), "{path:?}");
        for (value, expected) in values.iter().zip(expected) {
            assert_eq!(*value, f32::from_le_bytes(*expected), "{path:?}");
        }
        count += 1;
    }
    assert_eq!(count, 13);
}

#[test]
fn a_jpeg_differs_little_from_transformers_after_resizing() {
    let (_folder, opened) = folder(&[("preprocessor_config.json", VIT)]);
    let model = ImageModel::open(&opened, &free(), false).unwrap();
    let jpeg = model
        .decode_and_prepare(&fs::read(fixtures().join("420.jpg")).unwrap())
        .unwrap();
    let pixels = fs::read(fixtures().join("420.jpg.rgb")).unwrap();
    let placement = model.place(&model.dimensions(&photo()).unwrap()).unwrap();
    let from = Size {
        width: 33,
        height: 21,
    };
    let filter = resample::Filter::Bilinear;
    let resized = resample::resize(&pixels, from, placement.scaled, &placement.part, filter);
    let expected = model.filling.fill(&resized, &placement).unwrap();
    let (Data::F32(values), Data::F32(expected)) = (jpeg.data(), expected.data()) else {
        panic!("other types");
    };
    let differences = values
        .iter()
        .zip(expected)
        .map(|(left, right)| (left - right).abs());
    let largest = differences.fold(0.0, f32::max);
    // Values from -1 to 1, in steps of 1/127.5.
    assert!(largest < 3.1 / 127.5, "{largest}");
}

#[test]
fn elements_and_layouts_have_the_same_values() {
    let (_folder, opened) = folder(&[("preprocessor_config.json", VIT)]);
    let prepare = |element, input: &[Dimension]| {
        let signature = signature(element, input, &[Any, Any]);
        let model = ImageModel::open(&opened, &signature, false).unwrap();
        model.decode_and_prepare(&photo()).unwrap().into_parts()
    };
    let first = [Any, Fixed(3), Any, Any];
    let last = [Any, Fixed(16), Fixed(16), Fixed(3)];
    let (shape, Data::F32(floats)) = prepare(ElementType::F32, &first) else {
        panic!("no floats")
    };
    assert_eq!(shape, [1, 3, 16, 16]);
    let (shape, Data::F32(interleaved)) = prepare(ElementType::F32, &last) else {
        panic!("no floats")
    };
    assert_eq!(shape, [1, 16, 16, 3]);
    let (_, Data::F16(halves)) = prepare(ElementType::F16, &first) else {
        panic!("no halves")
    };
    let (_, Data::U8(bytes)) = prepare(ElementType::U8, &first) else {
        panic!("no bytes")
    };
    for (at, &value) in floats.iter().enumerate() {
        let (channel, pixel) = (at / 256, at % 256);
        assert_eq!(interleaved[pixel * 3 + channel], value);
        assert_eq!(halves[at], half::f16::from_f32(value));
        // A model of bytes normalizes them itself.
        assert!((f32::from(bytes[at]) / 127.5 - 1.0 - value).abs() < 1e-6);
    }
}

#[test]
fn a_model_of_gray_images_takes_any_image() {
    let configuration = r#"{"size": 28, "image_mean": [0.5], "image_std": [0.25], "resample": 0}"#;
    let (_folder, opened) = folder(&[("preprocessor_config.json", configuration)]);
    let model = ImageModel::open(&opened, &fixed(1, 28), false).unwrap();
    let gray = model.decode_and_prepare(&photo()).unwrap();
    assert_eq!(gray.shape(), [1, 1, 28, 28]);
    let luma = fs::read(fixtures().join("photo.l")).unwrap();
    let Data::F32(values) = gray.data() else {
        panic!("no floats")
    };
    assert_eq!(values[0], (f32::from(luma[0]) / 255.0 - 0.5) / 0.25);
}

#[test]
fn a_model_is_opened_with_defaults_only_if_its_purpose_is_known() {
    let (_folder, empty) = folder(&[]);
    let refused = ImageModel::open(&empty, &fixed(3, 8), false);
    assert_eq!(refused.unwrap_err(), ImageModelError::Undeclared);
    let named = ImageModel::open(&empty, &fixed(3, 8), true).unwrap();
    assert_eq!((named.classes(), named.activation()), (None, None));
    let (_folder, labels) = folder(&[("labels.txt", "cat\ndog\n")]);
    let labelled = ImageModel::open(&labels, &fixed(3, 8), false).unwrap();
    assert_eq!(labelled.classes().unwrap().names(), ["cat", "dog"]);
    assert_eq!(labelled.configuration(), named.configuration());
    for (signature, expected) in [
        (fixed(1, 8), "one channel"),
        (free(), "channels"),
        (
            signature(ElementType::F32, &[Any, Fixed(3), Any, Any], &[Any, Any]),
            "height and width",
        ),
        (
            signature(ElementType::I64, &[Any, Fixed(3), Any, Any], &[Any, Any]),
            "no batch",
        ),
        (
            signature(
                ElementType::F32,
                &[Any, Fixed(3), Fixed(8), Fixed(8)],
                &[Any],
            ),
            "no output",
        ),
        (
            signature(
                ElementType::F32,
                &[Any, Fixed(3), Fixed(8), Fixed(8)],
                &[Any, Fixed(3)],
            ),
            "2 classes",
        ),
    ] {
        let refused = ImageModel::open(&labels, &signature, true)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(expected), "{refused}");
    }
}

#[test]
fn a_configuration_must_fit_the_input() {
    let (_folder, opened) = folder(&[("preprocessor_config.json", VIT)]);
    assert!(ImageModel::open(&opened, &fixed(3, 16), false).is_ok());
    let refused = ImageModel::open(&opened, &fixed(3, 8), false).unwrap_err();
    let expected = "makes images of 16x16 pixels";
    assert!(refused.to_string().contains(expected), "{refused}");
    let varying = r#"{"size": {"shortest_edge": 16}, "do_normalize": false}"#;
    let (_folder, opened) = folder(&[("preprocessor_config.json", varying)]);
    let refused = ImageModel::open(&opened, &fixed(3, 16), false).unwrap_err();
    assert!(refused.to_string().contains("varying"), "{refused}");
    let model = ImageModel::open(&opened, &free(), false).unwrap();
    assert_eq!(model.size(), None);
    let tensor = model.decode_and_prepare(&photo()).unwrap();
    assert_eq!(tensor.shape(), [1, 3, 16, 25]);
}

#[test]
fn models_of_images_are_detected() {
    let config =
        |architecture| format!(r#"{{"architectures": ["{architecture}"], "num_labels": 2}}"#);
    let (classifier, other) = (config("ViTForImageClassification"), config("ViTModel"));
    let processor = ("preprocessor_config.json", VIT);
    let found = Some(Task::ImageClassification);
    let tokens = signature(ElementType::F32, &[Any; 4], &[Any, Any, Any]);
    for (files, signature, expected) in [
        (vec![processor, ("config.json", &classifier)], free(), found),
        (vec![processor], free(), found),
        (vec![("labels.txt", "cat\ndog")], fixed(3, 8), found),
        (vec![processor, ("config.json", &other)], free(), None),
        (vec![processor], tokens, None),
        (vec![("labels.txt", "cat\ndog")], free(), None),
        (vec![("config.json", &classifier)], free(), None),
        (vec![], fixed(3, 8), None),
    ] {
        let (_folder, opened) = folder(&files);
        assert_eq!(detect(&opened, &signature), Ok(expected), "{files:?}");
    }
    let (_folder, broken) = folder(&[("preprocessor_config.json", "{")]);
    assert!(detect(&broken, &free()).is_err());
}

#[test]
fn outputs_are_read_with_the_declared_or_the_found_activation() {
    let output = |values: &[f32]| Tensor::new(vec![2, 2], values.to_vec()).unwrap();
    let (logits, probabilities) = (
        output(&[0.0, 0.0, 3.0, 3.0]),
        output(&[0.25, 0.75, 1.0, 0.0]),
    );
    let (_folder, opened) = folder(&[("labels.txt", "cat\ndog")]);
    let model = ImageModel::open(&opened, &fixed(3, 8), false).unwrap();
    let scores = model.read(&[logits.view()], 2).unwrap();
    assert_eq!(scores[1].probabilities, [0.5, 0.5]);
    assert_eq!(
        model.activation_of(&[logits.view()]),
        Ok(Activation::Softmax)
    );
    let found = model.activation_of(&[probabilities.view()]).unwrap();
    let scores = model
        .clone()
        .with_activation(found)
        .read(&[probabilities.view()], 2)
        .unwrap();
    assert_eq!(scores[0].probabilities, [0.25, 0.75]);
    assert_eq!(model.read(&[], 2), Err(ScoresError::Missing));
    let three = Tensor::new(vec![1, 3], vec![0.0_f32; 3]).unwrap();
    let refused = model.read(&[three.view()], 1);
    assert_eq!(
        refused,
        Err(ScoresError::Count {
            classes: 3,
            names: 2
        })
    );
    let files = [
        ("preprocessor_config.json", VIT),
        (
            "config.json",
            r#"{"id2label": {"0": "a", "1": "b"}, "problem_type": "multi_label_classification"}"#,
        ),
    ];
    let (_folder, opened) = folder(&files);
    let model = ImageModel::open(&opened, &free(), false).unwrap();
    assert_eq!(model.activation(), Some(Activation::Sigmoid));
    assert_eq!(model.classes().unwrap().names(), ["a", "b"]);
}

#[test]
fn the_output_of_scores_is_found_among_others() {
    let mut signature = fixed(3, 8);
    signature.outputs = vec![
        Port::tensor("labels", ElementType::I64, [Any, Fixed(1)]),
        Port::tensor("hidden", ElementType::F32, [Any, Fixed(5), Fixed(7)]),
        Port::tensor(
            "scores",
            ElementType::F32,
            [Any, Fixed(9), Fixed(1), Fixed(1)],
        ),
        Port::tensor("more", ElementType::F32, [Any, Fixed(2)]),
    ];
    assert_eq!(output_port(&signature).map(|(index, _)| index), Some(2));
    signature.outputs[3].name = "logits".to_owned();
    assert_eq!(output_port(&signature).map(|(index, _)| index), Some(3));
}

#[test]
fn images_beyond_the_limits_are_refused() {
    let (_folder, opened) = folder(&[("preprocessor_config.json", VIT)]);
    let limits = Limits {
        max_bytes: 1 << 20,
        max_pixels: 600,
    };
    let model = ImageModel::open(&opened, &free(), false)
        .unwrap()
        .with_limits(limits);
    let refused = model.decode_and_prepare(&photo());
    let (width, height, max) = (33, 21, 600);
    assert_eq!(
        refused,
        Err(ImageError::TooManyPixels { width, height, max })
    );
    let shortest = r#"{"size": {"shortest_edge": 4096}, "crop_size": 8, "do_normalize": false}"#;
    let (_folder, opened) = folder(&[("preprocessor_config.json", shortest)]);
    let model = ImageModel::open(&opened, &free(), false).unwrap();
    let refused = model.decode_and_prepare(&photo());
    assert_eq!(refused, Err(ImageError::TooElongated { width, height }));
}

#[test]
fn memory_covers_the_image_and_the_tensor() {
    let (_folder, opened) = folder(&[("preprocessor_config.json", VIT)]);
    let model = ImageModel::open(&opened, &free(), false).unwrap();
    let header = model.dimensions(&photo()).unwrap();
    let expected = 33 * 16 * 3 + 16 * 16 * 3 + 16 * 16 * 3 * 4;
    assert_eq!(
        model.memory(&header).unwrap() - header.decoding_bytes(),
        expected
    );
    assert!(header.decoding_bytes() > header.pixels() * 7);
}

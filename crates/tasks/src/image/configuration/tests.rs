use std::fs;

use super::*;

fn read_for(content: &str, channels: usize) -> Result<Option<ImageConfiguration>, FolderError> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(FILE), content).unwrap();
    ImageConfiguration::read(&ModelFolder::new(folder.path()), channels)
}

fn geometry(fields: &str) -> Result<Geometry, FolderError> {
    let content = format!(r#"{{"do_normalize": false, {fields}}}"#);
    read_for(&content, 3).map(|read| read.unwrap().geometry)
}

const fn size(width: usize, height: usize) -> Size {
    Size { width, height }
}

#[test]
fn sizes_are_read_in_all_forms() {
    for (fields, scaling, crop) in [
        (r#""size": 224"#, Scaling::Exact(size(224, 224)), None),
        (r#""size": [20, 30]"#, Scaling::Exact(size(30, 20)), None),
        (
            r#""size": {"height": 20, "width": 30}"#,
            Scaling::Exact(size(30, 20)),
            None,
        ),
        (
            r#""size": {"shortest_edge": 9}, "crop_size": 8"#,
            Scaling::ShortestEdge(9),
            Some(size(8, 8)),
        ),
        (
            r#""size": 9, "crop_size": 8, "do_center_crop": false"#,
            Scaling::Exact(size(9, 9)),
            None,
        ),
        (
            r#""crop_size": 8, "do_resize": false"#,
            Scaling::None,
            Some(size(8, 8)),
        ),
        (
            r#""size": 9, "crop_size": 8, "feature_extractor_type": "CLIPFeatureExtractor""#,
            Scaling::ShortestEdge(9),
            Some(size(8, 8)),
        ),
        (
            r#""size": 90, "crop_pct": 0.9"#,
            Scaling::ShortestEdge(100),
            None,
        ),
        (
            r#""size": [90, 45], "crop_pct": 0.9"#,
            Scaling::Exact(size(50, 100)),
            None,
        ),
        (
            r#""size": 224, "image_processor_type": "ConvNextImageProcessorFast""#,
            Scaling::ShortestEdge(256),
            Some(size(224, 224)),
        ),
        (
            r#""size": {"shortest_edge": 384}, "image_processor_type": "ConvNextImageProcessor""#,
            Scaling::Exact(size(384, 384)),
            None,
        ),
    ] {
        let read = geometry(fields).unwrap();
        assert_eq!((read.scaling, read.crop), (scaling, crop), "{fields}");
    }
}

#[test]
fn impossible_values_are_refused_without_being_shown() {
    for fields in [
        r#""size": 0"#,
        r#""size": 666777"#,
        r#""size": -1"#,
        r#""size": "secret""#,
        r#""size": {"longest_edge": 224}"#,
        r#""size": {"shortest_edge": 224, "longest_edge": 300}"#,
        r#""size": {"height": 224}"#,
        r#""size": [1, 2, 3]"#,
        r#""crop_size": 9"#,
        r#""size": 9, "do_center_crop": true"#,
        r#""size": 9, "crop_size": {"shortest_edge": 3}"#,
        r#""size": 9, "resample": 6"#,
        r#""size": 9, "crop_pct": 0"#,
        r#""size": 9, "crop_pct": 0.0001"#,
        r#""size": 9, "crop_pct": 1.5"#,
        r#""size": 9, "do_pad": true"#,
        r#""size": 9, "size_divisor": 32"#,
        r#""size": 9, "image_processor_type": "PerceiverImageProcessor""#,
        r#""size": 9, "image_processor_type": "secret""#,
    ] {
        let error = geometry(fields).unwrap_err().to_string();
        assert!(
            !error.contains("secret") && !error.contains("666777"),
            "{error}"
        );
    }
}

#[test]
fn means_are_numbers_for_each_channel() {
    let read = |fields: &str, channels| read_for(&format!(r#"{{"size": 9, {fields}}}"#), channels);
    let three = r#""image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]"#;
    assert!(read(three, 3).is_ok());
    assert!(read(r#""image_mean": 0.5, "image_std": 0.5"#, 1).is_ok());
    for (fields, channels) in [
        (three, 1),
        (r#""image_mean": [0.5], "image_std": [0.5]"#, 3),
        (r#""image_mean": 0.5"#, 3),
        (r#""image_std": 0.5"#, 3),
        (r#""image_mean": 0.5, "image_std": 0"#, 3),
        (r#""image_mean": 0.5, "image_std": 1e-300"#, 3),
        (r#""image_mean": 1e300, "image_std": 1"#, 3),
    ] {
        assert!(read(fields, channels).is_err(), "{fields}");
    }
    assert!(read(r#""do_normalize": false, "rescale_factor": 1e999"#, 3).is_err());
}

#[test]
fn files_of_other_models_are_no_configuration() {
    let sounds =
        r#"{"feature_extractor_type": "Wav2Vec2FeatureExtractor", "sampling_rate": 16000}"#;
    assert_eq!(read_for(sounds, 3), Ok(None));
    let folder = tempfile::tempdir().unwrap();
    let folder = ModelFolder::new(folder.path());
    assert_eq!(ImageConfiguration::read(&folder, 3), Ok(None));
    assert_eq!(ImageConfiguration::is_declared(&folder), Ok(false));
}

#[test]
fn the_defaults_are_those_of_torchvision() {
    for (side, shortest_edge) in [(224, 256), (299, 342), (28, 32)] {
        let geometry = ImageConfiguration::imagenet(size(side, side)).geometry;
        assert_eq!(geometry.scaling, Scaling::ShortestEdge(shortest_edge));
        assert_eq!(geometry.output(), Some(size(side, side)));
    }
}

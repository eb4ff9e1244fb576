//! The examples of the repository.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::json::{merge, text};

/// Folder of the examples.
#[must_use]
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples")
}

/// Rows that were not used in training, and the predictions of onnxruntime for Python
/// (`examples/models/NAME.test.json`).
#[derive(Debug, Clone, Deserialize)]
pub struct HeldOut {
    /// Features of each row.
    pub rows: Vec<Vec<f64>>,
    /// Class of each row.
    pub predictions: Vec<i64>,
    /// Probabilities of all classes, for each row.
    pub probabilities: Vec<Vec<f64>>,
}

impl HeldOut {
    /// Reads the rows for a model of `examples/models`.
    ///
    /// # Errors
    ///
    /// If the file is missing or its lists are inconsistent.
    pub fn of(model: &str) -> Result<Self> {
        let path = folder().join("models").join(format!("{model}.test.json"));
        let held_out: Self =
            serde_json::from_slice(&read(&path)?).with_context(|| path.display().to_string())?;
        let lengths = [
            held_out.rows.len(),
            held_out.predictions.len(),
            held_out.probabilities.len(),
        ];
        ensure!(
            lengths == [lengths[0]; 3],
            "{}: lists of {lengths:?} entries",
            path.display()
        );
        Ok(held_out)
    }

    /// The probability of the predicted class of a row.
    ///
    /// # Errors
    ///
    /// If there is no such row or class.
    pub fn confidence(&self, row: usize) -> Result<f64> {
        let class = usize::try_from(*self.predictions.get(row).context("no such row")?)?;
        self.probabilities[row]
            .get(class)
            .copied()
            .context("no such class")
    }
}

/// The ONNX file of a model of `examples/models`.
///
/// # Errors
///
/// If it can't be read.
pub fn model(name: &str) -> Result<Vec<u8>> {
    read(&folder().join("models").join(format!("{name}.onnx")))
}

/// The sha256 of a model of `examples/models`, in hex.
///
/// # Errors
///
/// If `SHA256SUMS` has no line for it.
pub fn sha256(name: &str) -> Result<String> {
    let sums = String::from_utf8(read(&folder().join("models/SHA256SUMS"))?)?;
    sums.lines()
        .filter_map(|line| line.split_once("  "))
        .find(|(_, file)| *file == format!("{name}.onnx"))
        .map(|(sum, _)| sum.to_owned())
        .with_context(|| format!("SHA256SUMS has no line for {name}.onnx"))
}

/// The manifest `examples/NAME.yaml`, with `change` merged in.
///
/// # Errors
///
/// If it can't be read.
pub fn manifest(name: &str, change: &Value) -> Result<Value> {
    let path = folder().join(format!("{name}.yaml"));
    let content = String::from_utf8(read(&path)?)?;
    let mut manifest: Value =
        serde_saphyr::from_str(&content).with_context(|| path.display().to_string())?;
    merge(&mut manifest, change);
    Ok(manifest)
}

/// `examples/iris.yaml` with another name, without an autoscaler, and with `change` merged in: a minimal ModelService.
///
/// # Errors
///
/// If the example can't be read.
pub fn fixed_iris(name: &str, replicas: u32, change: &Value) -> Result<Value> {
    let mut fixed = manifest(
        "iris",
        &json!({"metadata": {"name": name}, "spec": {"replicas": replicas, "autoscaling": {"engine": "None"}}}),
    )?;
    merge(&mut fixed, change);
    Ok(fixed)
}

/// Name and key of the ConfigMap with the model of a manifest.
///
/// # Errors
///
/// If the model has another source.
pub fn config_map_of(manifest: &Value) -> Result<(&str, &str)> {
    let uri = text(manifest, "/spec/model/uri");
    uri.strip_prefix("configMap://")
        .and_then(|rest| rest.split_once('/'))
        .with_context(|| format!("{uri:?} is not a ConfigMap's key"))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).with_context(|| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn examples_name_the_models_that_are_there() {
        for name in ["iris", "digits"] {
            let manifest = manifest(name, &json!({})).unwrap();
            assert_eq!(text(&manifest, "/spec/model/sha256"), sha256(name).unwrap());
            assert_eq!(
                config_map_of(&manifest).unwrap(),
                (
                    format!("{name}-model").as_str(),
                    format!("{name}.onnx").as_str()
                )
            );
            assert!(!model(name).unwrap().is_empty());
        }
    }

    #[test]
    fn held_out_rows_are_enough_to_judge_by() {
        for (name, width) in [("iris", 4), ("iris-v2", 4), ("digits", 64)] {
            let held_out = HeldOut::of(name).unwrap();
            assert!(held_out.rows.len() >= 30, "{name}");
            assert!(held_out.rows.iter().all(|row| row.len() == width), "{name}");
            assert!(held_out.confidence(0).unwrap() > 0.3, "{name}");
        }
    }
}

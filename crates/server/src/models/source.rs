//! Where models come from: one file, or a directory.

use std::fs;
use std::path::PathBuf;

use springtide_inference::onnx::LinkPolicy;

use super::directory::{DirectoryScan, ModelFolder, ScanError, model_file, scan};
use super::fingerprint::{FileStat, Fingerprint};
use super::folder::MODEL_FILE;
use super::name::{ModelName, Version};

/// Where models come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// One file, served as version 1 of a model.
    File {
        /// The model.
        name: ModelName,
        /// The file.
        path: PathBuf,
    },
    /// A directory of models: `<name>/<version>/model.onnx`.
    Directory(PathBuf),
}

impl ModelSource {
    pub(super) fn scan(&self) -> Result<DirectoryScan, ScanError> {
        match self {
            Self::File { name, path } => {
                // The file is read once. Its fingerprint identifies it in the failure record.
                let stat = fs::metadata(path).map(|metadata| FileStat::of(&metadata));
                let file = stat.as_ref().ok().map(|stat| (&**path, stat));
                let version = (Version::FIRST, Some(Fingerprint::of(file)));
                let folder = ModelFolder::Versions([version].into());
                Ok(DirectoryScan {
                    models: [(name.clone(), folder)].into(),
                    problems: Vec::new(),
                })
            }
            Self::Directory(directory) => scan(directory),
        }
    }

    /// The location of the model files, for messages.
    #[must_use]
    pub fn describe(&self) -> String {
        match self {
            Self::File { path, .. } => path.display().to_string(),
            Self::Directory(directory) => {
                format!("{}/<name>/<version>/{MODEL_FILE}", directory.display())
            }
        }
    }

    /// Where links to the models' external data may lead.
    #[must_use]
    pub fn links(&self) -> LinkPolicy {
        match self {
            Self::File { .. } => LinkPolicy::BesideTheModel,
            Self::Directory(directory) => LinkPolicy::Inside(directory.clone()),
        }
    }

    pub(super) fn file(&self, name: &ModelName, version: Version) -> PathBuf {
        match self {
            Self::File { path, .. } => path.clone(),
            Self::Directory(directory) => model_file(directory, name, version),
        }
    }
}

//! The volumes of a serving pod: the source of the model, and the fetched model.

use k8s_openapi::api::core::v1::{EmptyDirVolumeSource, Volume, VolumeMount};
use springtide_contract::paths;

use super::model_source::ModelSource;
use crate::{quantity::mebibytes, spec::ValidatedModelService};

/// Name of the volume that holds the fetched model.
pub(super) const MODELS: &str = "models";

pub(super) fn volumes(model_service: &ValidatedModelService) -> Vec<Volume> {
    let models = Volume {
        name: MODELS.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource {
            size_limit: Some(mebibytes(models_mebibytes(model_service))),
            medium: None,
        }),
        ..Volume::default()
    };
    let source = ModelSource::of(model_service.model_uri()).volume;
    [models]
        .into_iter()
        .chain(source)
        .chain(model_service.pod().volumes().iter().cloned())
        .collect()
}

/// Size of the volume that holds the fetched model, in MiB. A pod that fetches again temporarily has both files.
pub(super) fn models_mebibytes(model_service: &ValidatedModelService) -> i32 {
    2 * model_service.max_size_mebibytes()
}

/// Mounts of the container that fetches the model.
pub(super) fn fetch_mounts(model_service: &ValidatedModelService) -> Vec<VolumeMount> {
    let source = ModelSource::of(model_service.model_uri()).volume;
    let source = source.map(|volume| mount(&volume.name, paths::SOURCE_DIR, Some(true)));
    [mount(MODELS, paths::MODEL_DIR, None)]
        .into_iter()
        .chain(source)
        .chain(model_service.pod().mounts())
        .collect()
}

/// Mounts of the container that serves the model.
pub(super) fn server_mounts(model_service: &ValidatedModelService) -> Vec<VolumeMount> {
    [mount(MODELS, paths::MODEL_DIR, Some(true))]
        .into_iter()
        .chain(model_service.pod().mounts())
        .collect()
}

fn mount(name: &str, path: &str, read_only: Option<bool>) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        read_only,
        ..VolumeMount::default()
    }
}
